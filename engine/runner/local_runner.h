// LocalRunner: runs steps on one Backend of this process: batch, forward, sample.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/attention/attention.h"
#include "engine/model/decoder_model.h"
#include "engine/runner/batch_builder.h"
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
  // 2 where the backend computes beside the host; 1 where launching a step computes it.
  int max_in_flight = 1;
};

// launch() enqueues a step on the backend and collect() waits for it alone, so a device goes from
// one step to the next without the host. What a step samples stays on the device too, where the
// next one reads it. Engine thread only.
class LocalRunner final : public ModelRunner {
 public:
  // Backend, model and storage must outlive the runner; `storage` has a layout of the model.
  // kResourceExhausted when the activations of the largest step do not fit.
  static Result<std::unique_ptr<LocalRunner>> create(Backend& backend, const DecoderModel& model,
                                                     const KvStorage& storage,
                                                     const RunnerLimits& limits);
  ~LocalRunner() override;

  // Device memory that create() takes, besides what the backend takes for itself in the first
  // steps.
  static int64_t memory_bytes(const Backend& backend, const DecoderModel& model,
                              const RunnerLimits& limits);

  int max_in_flight() const override { return limits_.max_in_flight; }
  Ticket launch(const StepPlan& plan) override;
  StepResult collect(Ticket ticket) override;

 private:
  static constexpr int kMaxInFlight = 2;

  // What one logit row is for.
  struct LogitRow {
    int entry = 0;         // of the plan
    int64_t position = 0;  // of the scored prompt token; kSamples: none, the row samples
    bool reported = true;  // its log-probability is wanted,
    int num_top = 0;       // beside those of so many best tokens
  };
  static constexpr int64_t kSamples = -1;

  // What a step in flight holds on to.
  struct Slot {
    BatchUpload upload;
    Buffer results;  // pinned: SampledTokens, a row for each of `rows`
    std::vector<LogitRow> rows;
    size_t num_entries = 0;
    Fence done;
  };

  LocalRunner(Backend& backend, const DecoderModel& model, const KvStorage& storage,
              const RunnerLimits& limits, Workspace workspace, Buffer logits);
  Status add_slots();
  Slot& slot_of(uint64_t step) { return slots_[(step - 1) % slots_.size()]; }
  TokenId* ids_of(uint64_t step) { return sampled_ids_[step % sampled_ids_.size()].as<TokenId>(); }
  void enqueue(const StepPlan& plan, Slot& slot);
  void list_logit_rows(const StepPlan& plan, std::vector<LogitRow>& rows);
  // From row `first` of the step's `states` on as many rows as have room: logits, tokens. How many.
  int sample_slice(const StepPlan& plan, const Slot& slot, TensorView states, int first);

  Backend& backend_;
  const DecoderModel& model_;
  const KvStorage& storage_;
  RunnerLimits limits_;
  int slice_rows_;
  DenseAttention attention_;
  Workspace workspace_;
  Buffer logits_;  // [slice_rows_, vocab] f32
  std::vector<Slot> slots_;
  std::array<Buffer, 2> sampled_ids_;  // device: of the last step and of the one before, in turns

  SamplingBuilder sampling_;
  RaggedBatch batch_;  // these are reused from step to step
  SamplingBatch sampling_batch_;

  uint64_t num_launched_ = 0;
  uint64_t num_collected_ = 0;
  int num_sampled_ = 0;       // logit rows of the last step that was launched
  SampledRows sampled_rows_;  // of that step: rows that sample
};

}  // namespace sluice
