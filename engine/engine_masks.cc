// Engine: steps in which answers must have a form. Their masks need the tokens of the step before,
// which the device is told to compute on before anybody has seen them. So such a step is launched
// without sampling; once the step before is collected, masks are filled, by several threads and
// while the device computes, and then it samples.
#include <utility>

#include "base/check.h"
#include "engine/engine.h"

namespace sluice {

// Begins to fill the masks of `plan` whose newest token is known, and which are not filled already.
void Engine::start_masks(const StepPlan& plan) {
  for (const StepEntry& entry : plan.entries) {
    if (!entry.masked) continue;
    Sequence& sequence = *entry.sequence;
    const int64_t last = entry.first + entry.num_new;
    const bool known = static_cast<int64_t>(sequence.tokens.size()) == last;
    if (!known || sequence.state == SequenceState::kFinished) continue;
    const bool is_first = sequence.constraint == nullptr;
    if (is_first) {
      sequence.constraint = std::make_shared<Constraint>(*sequence.request, config_.vocab_size);
    } else if (sequence.constraint->position() == last) {
      continue;  // begun when the step was launched
    }
    sequence.constraint->advance_to(sequence.tokens);
    masks_.start(sequence.constraint);
  }
}

// Samples the newest step if it still has to, and nothing launched before it is left.
void Engine::sample_newest() {
  if (num_in_flight_ != 1) return;
  InFlight& step = in_flight_[oldest_];
  if (!std::exchange(step.awaits_masks, false)) return;
  start_masks(step.plan);
  masks_.wait();
  judge_masks(step.plan);
  try {
    runner_->sample(step.plan);
  } catch (const std::exception& error) {
    --num_in_flight_;
    fail_step(step.plan, error.what());
  }
}

// Ends the choices that can have no further token. Their rows are computed for nothing.
void Engine::judge_masks(const StepPlan& plan) {
  for (const StepEntry& entry : plan.entries) {
    if (!entry.masked || entry.sequence->state == SequenceState::kFinished) continue;
    const Constraint& constraint = *entry.sequence->constraint;
    switch (constraint.verdict()) {
      case Constraint::Verdict::kContinue:
        break;
      case Constraint::Verdict::kEnd:
        end_choice(entry.sequence, FinishReason::kStop, {});
        break;
      case Constraint::Verdict::kFailed:
        end_request(entry.sequence->request->id, FinishReason::kError, constraint.failure());
        break;
    }
  }
}

}  // namespace sluice
