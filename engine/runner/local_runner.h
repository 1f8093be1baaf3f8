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

// What the largest step takes beside weights and cache, all of it allocated at once: what a device
// has left afterwards, the cache may have.
class StepMemory {
 public:
  // kResourceExhausted when it does not fit.
  static Result<StepMemory> create(Backend& backend, const DecoderModel& model,
                                   const RunnerLimits& limits);

 private:
  friend class LocalRunner;
  // Of one step in flight.
  struct Slot {
    BatchUpload upload;
    Buffer results;  // pinned: SampledTokens
  };
  StepMemory(const RunnerLimits& limits, Workspace workspace)
      : limits_(limits), workspace_(std::move(workspace)) {}
  Status add_slots(Backend& backend, const DecoderModel& model);

  RunnerLimits limits_;
  Workspace workspace_;
  std::vector<Slot> slots_;            // [max_in_flight]
  std::array<Buffer, 2> sampled_ids_;  // device: of the last step and of the one before, in turns
};

// launch() enqueues a step on the backend and collect() waits for it alone, so a device goes from
// one step to the next without the host. What a step samples stays on the device too, where the
// next one reads it. Engine thread only.
class LocalRunner final : public ModelRunner {
 public:
  // Backend, model and storage must outlive the runner; `storage` has a layout of the model, and
  // `memory` was made for that model on that backend.
  LocalRunner(Backend& backend, const DecoderModel& model, const KvStorage& storage,
              StepMemory memory);
  ~LocalRunner() override;

  int max_in_flight() const override { return memory_.limits_.max_in_flight; }
  Ticket launch(const StepPlan& plan) override;
  void sample(const StepPlan& plan) override;
  StepResult collect(Ticket ticket) override;

 private:
  // What one logit row is for.
  struct LogitRow {
    int entry = 0;         // of the plan
    int64_t position = 0;  // of the scored prompt token; kSamples: none, the row samples
    int32_t pending = -1;  // its newest token's index among those that the step before samples
    bool reported = true;  // its log-probability is wanted,
    int num_top = 0;       // beside those of so many best tokens
  };
  static constexpr int64_t kSamples = -1;

  // A step in flight.
  struct Step {
    std::vector<LogitRow> rows;
    size_t num_entries = 0;
    int num_sampled_before = 0;          // logit rows of the step before
    ProductInput states = TensorView{};  // of `rows`, in the workspace
    bool sampled = false;                // or waiting for sample()
    Fence done;
  };

  size_t slot_of(uint64_t step) const { return (step - 1) % steps_.size(); }
  TokenId* ids_of(uint64_t step) const {
    return memory_.sampled_ids_[step % memory_.sampled_ids_.size()].as<TokenId>();
  }
  void list_logit_rows(const StepPlan& plan, std::vector<LogitRow>& rows);
  void enqueue_forward(Step& step, size_t slot);
  void enqueue_sampling(const StepPlan& plan, uint64_t number);
  // From row `first` of the step's states on as many rows as have room: logits, tokens. How many.
  int sample_slice(const StepPlan& plan, uint64_t number, int first);
  void add_row(const StepEntry& entry, const LogitRow& row);

  Backend& backend_;
  const DecoderModel& model_;
  const KvStorage& storage_;
  StepMemory memory_;
  DenseAttention attention_;

  SamplingBuilder sampling_;
  RaggedBatch batch_;  // these are reused from step to step
  SamplingBatch sampling_batch_;

  std::vector<Step> steps_;  // by slot
  uint64_t num_launched_ = 0;
  uint64_t num_collected_ = 0;
  int num_sampled_ = 0;       // logit rows of the last step that was launched
  SampledRows sampled_rows_;  // of that step: rows that sample
};

}  // namespace sluice
