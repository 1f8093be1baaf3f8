// ModelRunner: the second seam. A plan goes in, tokens come out; what is between is the runner's
// business.
#pragma once

#include <cstdint>

#include "engine/step_plan.h"

namespace sluice {

// Names a launched step; tickets are collected in the order of their launch.
struct Ticket {
  uint64_t step = 0;
};

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  // Steps that may be launched and not yet collected: 1 where launch computes (CPU), 2 where a
  // device does.
  virtual int max_in_flight() const = 0;

  // Starts a step. Block tables, tokens and num_computed of the plan's sequences are read before it
  // returns. An entry with last_is_pending takes its last token from the previous step's result,
  // which need not have been collected. A failure throws InternalError and leaves no ticket.
  // Where the plan is masked(), nothing of it is sampled yet.
  virtual Ticket launch(const StepPlan& plan) = 0;

  // Samples the step launched last, whose plan this is and is masked(): masked entries that are not
  // finished by what Sequence::constraint allows, which is read before it returns. The step before
  // has been collected, and its tokens may have been appended. Comes once, before the next launch
  // and this step's collect. A failure throws InternalError, and the ticket is gone.
  virtual void sample(const StepPlan& plan) = 0;

  // Waits for that step and returns one output for each entry of its plan.
  virtual StepResult collect(Ticket ticket) = 0;
};

}  // namespace sluice
