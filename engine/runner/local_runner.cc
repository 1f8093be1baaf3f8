// A step on one backend: everything happens in launch().
#include "engine/runner/local_runner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/runner/batch_builder.h"

namespace sluice {
namespace {

// Rows whose logits exist at a time, however many a step has: on the host few enough for the cache
// (33 MB for a vocabulary of 128 k), on a device enough for one wait a step.
int slice_rows(const Backend& backend) { return backend.info().is_host ? 64 : 256; }

TokenLogprob logprob_of_row(const SampledTokens& sampled, int row, int num_top) {
  TokenLogprob out{.logprob = sampled.logprobs[row], .rank = sampled.ranks[row], .top = {}};
  out.top.reserve(static_cast<size_t>(num_top));
  for (int i = row * kMaxTopLogprobs; i < row * kMaxTopLogprobs + num_top; ++i)
    out.top.push_back({sampled.top_ids[i], sampled.top_logprobs[i]});
  return out;
}

}  // namespace

LocalRunner::LocalRunner(Backend& backend, const DecoderModel& model, const KvStorage& storage,
                         const RunnerLimits& limits, Workspace workspace, Buffer logits,
                         BatchUpload upload)
    : backend_(backend),
      model_(model),
      storage_(storage),
      limits_(limits),
      slice_rows_(slice_rows(backend)),
      workspace_(std::move(workspace)),
      logits_(std::move(logits)),
      upload_(std::move(upload)) {}

Result<std::unique_ptr<LocalRunner>> LocalRunner::create(Backend& backend,
                                                         const DecoderModel& model,
                                                         const KvStorage& storage,
                                                         const RunnerLimits& limits) {
  SLUICE_CHECK_EQ(storage.layout().block_bytes(),
                  model.kv_layout(storage.layout().dtype).block_bytes());
  Result<Workspace> workspace = model.make_workspace(limits.max_num_batched_tokens);
  if (!workspace.ok()) return workspace.status();
  const size_t logit_bytes = sizeof(float) * static_cast<size_t>(slice_rows(backend)) *
                             static_cast<size_t>(model.config().vocab_size);
  Result<Buffer> logits = backend.allocate(logit_bytes, Memory::kDevice);
  if (!logits.ok()) return logits.status();
  const int64_t blocks_a_seq = ceil_div(model.max_model_len(), kBlockTokens);
  Result<BatchUpload> upload =
      BatchUpload::create(backend, limits.max_num_batched_tokens, limits.max_num_seqs,
                          limits.max_num_seqs * blocks_a_seq);
  if (!upload.ok()) return upload.status();
  return std::unique_ptr<LocalRunner>(
      new LocalRunner(backend, model, storage, limits, std::move(workspace).value(),
                      std::move(logits).value(), std::move(upload).value()));
}

int64_t LocalRunner::memory_bytes(const Backend& backend, const DecoderModel& model,
                                  const RunnerLimits& limits) {
  return model.workspace_bytes(limits.max_num_batched_tokens) +
         // The logits, and as much again for the backend's sampling.
         2 * int64_t{sizeof(float)} * slice_rows(backend) * model.config().vocab_size +
         BatchUpload::bytes(limits.max_num_batched_tokens, limits.max_num_seqs,
                            limits.max_num_seqs * ceil_div(model.max_model_len(), kBlockTokens));
}

Ticket LocalRunner::launch(const StepPlan& plan) {
  SLUICE_CHECK(!in_flight_);
  SLUICE_CHECK_LE(plan.num_tokens(), limits_.max_num_batched_tokens);
  build_batch(plan, batch_);
  // O(size) against a forward pass of millions of operations a token: cheap enough to keep on.
  batch_.validate(storage_.num_blocks(), model_.config().vocab_size);
  for (const int32_t kv_len : batch_.kv_lens) SLUICE_CHECK_LE(kv_len, model_.max_model_len());
  SLUICE_CHECK_LE(batch_.num_seqs(), limits_.max_num_seqs);
  const RaggedBatchView view = upload_.place(batch_);
  attention_.plan(view);
  const TensorView states = model_.forward(view, storage_, attention_, workspace_);
  list_logit_rows(plan);
  SLUICE_CHECK_EQ(static_cast<int64_t>(rows_.size()), states.rows);
  result_.outputs.assign(plan.entries.size(), {});
  for (int first = 0; first < states.rows; first += slice_rows_) {
    sample_slice(plan, states, first, std::min(slice_rows_, static_cast<int>(states.rows) - first));
  }
  backend_.synchronize();
  sampling_.forget_finished();
  in_flight_ = true;
  return {.step = ++num_launched_};
}

// In the order of build_batch.
void LocalRunner::list_logit_rows(const StepPlan& plan) {
  rows_.clear();
  for (int e = 0; e < static_cast<int>(plan.entries.size()); ++e) {
    const StepEntry& entry = plan.entries[e];
    for (int64_t i = entry.score_first; i < entry.score_last; ++i)
      rows_.push_back({.entry = e, .position = i + 1});
    if (entry.samples) rows_.push_back({.entry = e, .position = kSamples});
  }
}

void LocalRunner::sample_slice(const StepPlan& plan, TensorView states, int first, int count) {
  sampling_batch_.clear();
  for (int row = first; row < first + count; ++row) {
    const std::shared_ptr<Sequence>& sequence = plan.entries[rows_[row].entry].sequence;
    if (rows_[row].position == kSamples) {
      sampling_.add_sample_row(sequence, sampling_batch_);
    } else {
      sampling_.add_score_row(*sequence, rows_[row].position, sampling_batch_);
    }
  }
  const int vocab_size = model_.config().vocab_size;
  sampling_batch_.validate(vocab_size);
  const TensorView logits = TensorView::dense(logits_.data(), DType::kF32, count, vocab_size);
  model_.lm_head(logits, TensorView{states.row_ptr(first), states.dtype, count, states.cols,
                                    states.row_stride});
  backend_.sample(sampled_, logits, sampling_batch_);
  backend_.synchronize();  // sampled_ and the logits are used again by the next slice
  for (int i = 0; i < count; ++i) {
    const LogitRow& row = rows_[first + i];
    const SamplingParams& params = plan.entries[row.entry].sequence->request->sampling;
    StepOutput& output = result_.outputs[row.entry];
    if (row.position != kSamples) {
      output.prompt_logprobs.push_back(logprob_of_row(sampled_, i, params.num_prompt_top_logprobs));
      continue;
    }
    output.token = sampled_.ids[i];
    if (params.logprobs) output.logprob = logprob_of_row(sampled_, i, params.num_top_logprobs);
  }
}

StepResult LocalRunner::collect(Ticket ticket) {
  SLUICE_CHECK(in_flight_);
  SLUICE_CHECK_EQ(ticket.step, num_launched_);
  in_flight_ = false;
  return std::exchange(result_, {});
}

}  // namespace sluice
