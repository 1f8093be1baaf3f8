// A step on one backend: enqueued by launch(), awaited by collect().
#include "engine/runner/local_runner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

// Rows whose logits exist at a time, however many a step has: on the host few enough for the cache
// (33 MB for a vocabulary of 128 k), on a device enough for every sequence of a step by default.
int slice_rows(const Backend& backend) { return backend.info().is_host ? 64 : 256; }

TokenLogprob logprob_of_row(const SampledTokens& sampled, size_t row, int num_top) {
  TokenLogprob out{.logprob = sampled.logprobs[row], .rank = sampled.ranks[row], .top = {}};
  out.top.reserve(static_cast<size_t>(num_top));
  const size_t first = row * kMaxTopLogprobs;
  for (size_t i = first; i < first + static_cast<size_t>(num_top); ++i)
    out.top.push_back({sampled.top_ids[i], sampled.top_logprobs[i]});
  return out;
}

}  // namespace

LocalRunner::LocalRunner(Backend& backend, const DecoderModel& model, const KvStorage& storage,
                         const RunnerLimits& limits, Workspace workspace, Buffer logits)
    : backend_(backend),
      model_(model),
      storage_(storage),
      limits_(limits),
      slice_rows_(slice_rows(backend)),
      workspace_(std::move(workspace)),
      logits_(std::move(logits)) {}

LocalRunner::~LocalRunner() { backend_.synchronize(); }

Result<std::unique_ptr<LocalRunner>> LocalRunner::create(Backend& backend,
                                                         const DecoderModel& model,
                                                         const KvStorage& storage,
                                                         const RunnerLimits& limits) {
  SLUICE_CHECK_EQ(storage.layout().block_bytes(),
                  model.kv_layout(storage.layout().dtype).block_bytes());
  SLUICE_CHECK(limits.max_in_flight >= 1 && limits.max_in_flight <= kMaxInFlight);
  Result<Workspace> workspace = model.make_workspace(limits.max_num_batched_tokens);
  if (!workspace.ok()) return workspace.status();
  const size_t logit_bytes = sizeof(float) * static_cast<size_t>(slice_rows(backend)) *
                             static_cast<size_t>(model.config().vocab_size);
  Result<Buffer> logits = backend.allocate(logit_bytes, Memory::kDevice);
  if (!logits.ok()) return logits.status();
  model.prepare(workspace.value(),
                TensorView::dense(logits->data(), DType::kF32, slice_rows(backend),
                                  model.config().vocab_size));
  std::unique_ptr<LocalRunner> runner(new LocalRunner(
      backend, model, storage, limits, std::move(workspace).value(), std::move(logits).value()));
  SLUICE_RETURN_IF_ERROR(runner->add_slots());
  return runner;
}

Status LocalRunner::add_slots() {
  const int64_t max_rows = limits_.max_num_batched_tokens;  // each token may be scored
  const int64_t blocks_a_seq = ceil_div(model_.max_model_len(), kBlockTokens);
  for (int i = 0; i < limits_.max_in_flight; ++i) {
    Result<BatchUpload> upload =
        BatchUpload::create(backend_, limits_.max_num_batched_tokens, limits_.max_num_seqs,
                            limits_.max_num_seqs * blocks_a_seq);
    if (!upload.ok()) return upload.status();
    Result<Buffer> results = backend_.allocate(SampledTokens::bytes(max_rows), Memory::kHost);
    if (!results.ok()) return results.status();
    slots_.push_back({.upload = std::move(upload).value(),
                      .results = std::move(results).value(),
                      .rows = {},
                      .done = {}});
  }
  for (Buffer& ids : sampled_ids_) {
    Result<Buffer> made =
        backend_.allocate(static_cast<size_t>(max_rows) * sizeof(TokenId), Memory::kDevice);
    if (!made.ok()) return made.status();
    ids = std::move(made).value();
  }
  return {};
}

int64_t LocalRunner::memory_bytes(const Backend& backend, const DecoderModel& model,
                                  const RunnerLimits& limits) {
  const int64_t upload =
      BatchUpload::bytes(limits.max_num_batched_tokens, limits.max_num_seqs,
                         limits.max_num_seqs * ceil_div(model.max_model_len(), kBlockTokens));
  return model.workspace_bytes(limits.max_num_batched_tokens) +
         // The logits, and as much again for the backend's sampling.
         2 * int64_t{sizeof(float)} * slice_rows(backend) * model.config().vocab_size +
         limits.max_in_flight * upload +
         2 * int64_t{sizeof(TokenId)} * limits.max_num_batched_tokens;
}

// ---- a step begins
// ---------------------------------------------------------------------------------------------

Ticket LocalRunner::launch(const StepPlan& plan) {
  SLUICE_CHECK_LT(num_launched_ - num_collected_, static_cast<uint64_t>(limits_.max_in_flight));
  SLUICE_CHECK_LE(plan.num_tokens(), limits_.max_num_batched_tokens);
  Slot& slot = slot_of(num_launched_ + 1);
  build_batch(plan, sampled_rows_, batch_);
  // O(size) against a forward pass of millions of operations a token: cheap enough to keep on.
  batch_.validate(storage_.num_blocks(), model_.config().vocab_size, num_sampled_);
  for (const int32_t kv_len : batch_.kv_lens) SLUICE_CHECK_LE(kv_len, model_.max_model_len());
  SLUICE_CHECK_LE(batch_.num_seqs(), limits_.max_num_seqs);
  slot.num_entries = plan.entries.size();
  list_logit_rows(plan, slot.rows);
  try {
    enqueue(plan, slot);
  } catch (...) {
    backend_.synchronize();  // what is enqueued already uses the slot, which is free again
    throw;
  }
  ++num_launched_;
  num_sampled_ = static_cast<int>(slot.rows.size());
  sampled_rows_.clear();
  for (int row = 0; row < num_sampled_; ++row) {
    if (slot.rows[row].position != kSamples) continue;
    sampled_rows_[plan.entries[slot.rows[row].entry].sequence.get()] = row;
  }
  sampling_.forget_finished();
  return {.step = num_launched_};
}

// In the order of build_batch.
void LocalRunner::list_logit_rows(const StepPlan& plan, std::vector<LogitRow>& rows) {
  rows.clear();
  for (int e = 0; e < static_cast<int>(plan.entries.size()); ++e) {
    const StepEntry& entry = plan.entries[e];
    const SamplingParams& params = entry.sequence->request->sampling;
    for (int64_t i = entry.score_first; i < entry.score_last; ++i)
      rows.push_back({.entry = e, .position = i + 1, .num_top = params.num_prompt_top_logprobs});
    if (!entry.samples) continue;
    rows.push_back({.entry = e,
                    .position = kSamples,
                    .reported = params.logprobs,
                    .num_top = params.num_top_logprobs});
  }
}

void LocalRunner::enqueue(const StepPlan& plan, Slot& slot) {
  RaggedBatchView view = slot.upload.place(batch_);
  view.sampled = ids_of(num_launched_);
  attention_.plan(view);
  const TensorView states = model_.forward(view, storage_, attention_, workspace_);
  SLUICE_CHECK_EQ(static_cast<int64_t>(slot.rows.size()), states.rows);
  for (int first = 0; first < states.rows;) first += sample_slice(plan, slot, states, first);
  slot.done = backend_.fence();
}

int LocalRunner::sample_slice(const StepPlan& plan, const Slot& slot, TensorView states,
                              int first) {
  sampling_batch_.clear();
  const int count = std::min(slice_rows_, static_cast<int>(states.rows) - first);
  for (int row = first; row < first + count; ++row) {
    const StepEntry& entry = plan.entries[slot.rows[row].entry];
    if (slot.rows[row].position == kSamples) {
      const int32_t pending =
          entry.last_is_pending ? sampled_rows_.at(entry.sequence.get()) : int32_t{-1};
      sampling_.add_sample_row(entry.sequence, pending, sampling_batch_);
    } else {
      sampling_.add_score_row(*entry.sequence, slot.rows[row].position, sampling_batch_);
    }
  }
  const int vocab_size = model_.config().vocab_size;
  sampling_batch_.validate(vocab_size, num_sampled_);
  const TensorView logits = TensorView::dense(logits_.data(), DType::kF32, count, vocab_size);
  model_.lm_head(logits, TensorView{states.row_ptr(first), states.dtype, count, states.cols,
                                    states.row_stride});
  const auto out = SampledTokens::over(slot.results.data(), states.rows);
  backend_.sample(out.after(first), ids_of(num_launched_ + 1) + first, logits, sampling_batch_,
                  ids_of(num_launched_));
  return count;
}

// ---- and ends
// --------------------------------------------------------------------------------------------------

StepResult LocalRunner::collect(Ticket ticket) {
  SLUICE_CHECK_LT(num_collected_, num_launched_);
  SLUICE_CHECK_EQ(ticket.step, num_collected_ + 1);
  ++num_collected_;
  const Slot& slot = slot_of(ticket.step);
  backend_.wait(slot.done);
  const auto sampled =
      SampledTokens::over(slot.results.data(), static_cast<int64_t>(slot.rows.size()));
  StepResult result;
  result.outputs.resize(slot.num_entries);
  for (size_t i = 0; i < slot.rows.size(); ++i) {
    const LogitRow& row = slot.rows[i];
    StepOutput& output = result.outputs[row.entry];
    if (row.position != kSamples) {
      output.prompt_logprobs.push_back(logprob_of_row(sampled, i, row.num_top));
      continue;
    }
    output.token = sampled.ids[i];
    if (row.reported) output.logprob = logprob_of_row(sampled, i, row.num_top);
  }
  return result;
}

}  // namespace sluice
