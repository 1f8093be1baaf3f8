// LocalRunner: runs steps on one Backend of this process: batch, forward, sample.
#pragma once

#include <memory>

#include "base/status.h"
#include "engine/attention/attention.h"
#include "engine/model/decoder_model.h"
#include "engine/runner/model_runner.h"
#include "kernels/backend.h"
#include "kvcache/kv_storage.h"

namespace sluice {

// Largest step that a runner must take; all of its memory is allocated for it at creation.
struct RunnerLimits {
  int max_num_batched_tokens = 2048;
  int max_num_seqs = 256;
  int max_logprob_rows = 256;  // scored prompt rows, beside one sampled row a sequence
};

// Engine thread only. Host backends compute in launch(), so one step may be in flight.
class LocalRunner final : public ModelRunner {
 public:
  // Backend, model and storage must outlive the runner. kResourceExhausted when the activations of
  // the largest step do not fit.
  static Result<std::unique_ptr<LocalRunner>> create(Backend& backend, const DecoderModel& model,
                                                     KvStorage& storage,
                                                     const RunnerLimits& limits);
  ~LocalRunner() override;

  int max_in_flight() const override { return 1; }
  Ticket launch(const StepPlan& plan) override;
  StepResult collect(Ticket ticket) override;

 private:
  struct State;
  explicit LocalRunner(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice
