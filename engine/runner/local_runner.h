// LocalRunner: runs steps on one Backend of this process: batch, forward, sample.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/attention/attention.h"
#include "engine/model/decoder_model.h"
#include "engine/runner/batch_upload.h"
#include "engine/runner/model_runner.h"
#include "engine/runner/sampling_builder.h"
#include "kernels/backend.h"
#include "kvcache/kv_storage.h"

namespace sluice {

// Largest step that a runner must take; its activations are allocated for it at creation.
struct RunnerLimits {
  int max_num_batched_tokens = 2048;
  int max_num_seqs = 256;
};

// launch() computes, or waits for the device, so one step may be in flight. Engine thread only.
class LocalRunner final : public ModelRunner {
 public:
  // Backend, model and storage must outlive the runner; `storage` has a layout of the model.
  // kResourceExhausted when the activations of the largest step do not fit.
  static Result<std::unique_ptr<LocalRunner>> create(Backend& backend, const DecoderModel& model,
                                                     const KvStorage& storage,
                                                     const RunnerLimits& limits);

  // Device memory that create() takes, besides what the backend takes for itself in the first
  // steps.
  static int64_t memory_bytes(const Backend& backend, const DecoderModel& model,
                              const RunnerLimits& limits);

  int max_in_flight() const override { return 1; }
  Ticket launch(const StepPlan& plan) override;
  StepResult collect(Ticket ticket) override;

 private:
  // What one logit row is for.
  struct LogitRow {
    int entry = 0;         // of the plan
    int64_t position = 0;  // of the scored prompt token; kSamples: none, the row samples
  };
  static constexpr int64_t kSamples = -1;

  LocalRunner(Backend& backend, const DecoderModel& model, const KvStorage& storage,
              const RunnerLimits& limits, Workspace workspace, Buffer logits, BatchUpload upload);
  void list_logit_rows(const StepPlan& plan);
  // Rows [first, first + count) of the step's `states`: logits, tokens, and their place in result_.
  void sample_slice(const StepPlan& plan, TensorView states, int first, int count);

  Backend& backend_;
  const DecoderModel& model_;
  const KvStorage& storage_;
  RunnerLimits limits_;
  int slice_rows_;
  DenseAttention attention_;
  Workspace workspace_;
  Buffer logits_;  // [slice_rows_, vocab] f32
  BatchUpload upload_;

  SamplingBuilder sampling_;
  RaggedBatch batch_;  // these are reused from step to step
  SamplingBatch sampling_batch_;
  SampledTokens sampled_;
  std::vector<LogitRow> rows_;

  StepResult result_;  // of the step in flight
  bool in_flight_ = false;
  uint64_t num_launched_ = 0;
};

}  // namespace sluice
