// A step on one backend: enqueued by launch(), awaited by collect().
#include "engine/runner/local_runner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr int kMaxInFlight = 2;
// Bytes of a SamplingBatch after which no more rows are added to a slice of logits.
constexpr int64_t kSliceBytes = int64_t{2} << 20;
// Of one row, beside its history: the lists that a request may bring (sampling_params.h).
constexpr int64_t kMaxRowBytes = int64_t{64} << 10;

// Rows whose logits exist at a time, however many a step has: on the host few enough for the cache
// (33 MB for a vocabulary of 128 k), on a device every sequence's by default.
int max_logit_rows(const Backend& backend, const RunnerLimits& limits) {
  return std::min(backend.info().is_host ? 64 : 256, limits.max_num_batched_tokens);
}

TokenLogprob logprob_of_row(const SampledTokens& sampled, size_t row, int num_top) {
  TokenLogprob out{.logprob = sampled.logprobs[row], .rank = sampled.ranks[row], .top = {}};
  out.top.reserve(static_cast<size_t>(num_top));
  const size_t first = row * kMaxTopLogprobs;
  for (size_t i = first; i < first + static_cast<size_t>(num_top); ++i)
    out.top.push_back({sampled.top_ids[i], sampled.top_logprobs[i]});
  return out;
}

}  // namespace

// ---- memory
// ------------------------------------------------------------------------------------------------

Result<StepMemory> StepMemory::create(Backend& backend, const DecoderModel& model,
                                      const RunnerLimits& limits) {
  SLUICE_CHECK(limits.max_in_flight >= 1 && limits.max_in_flight <= kMaxInFlight);
  const ModelConfig& config = model.config();
  // A history names each token of the vocabulary once.
  constexpr auto kHistoryBytes = static_cast<int64_t>(sizeof(TokenId) + sizeof(int32_t));
  const auto mask_bytes = static_cast<int64_t>(mask_words(config.vocab_size) * sizeof(uint32_t));
  const int max_rows = max_logit_rows(backend, limits);
  SLUICE_RETURN_IF_ERROR(backend.prepare({.max_tokens = limits.max_num_batched_tokens,
                                          .max_seqs = limits.max_num_seqs,
                                          .num_q_heads = config.num_heads,
                                          .num_kv_heads = config.num_kv_heads,
                                          .head_dim = config.head_dim,
                                          .max_sampling_bytes = kSliceBytes + kMaxRowBytes +
                                                                kHistoryBytes * config.vocab_size +
                                                                max_rows * mask_bytes}));
  Result<Workspace> workspace = model.make_workspace(limits.max_num_batched_tokens, max_rows);
  if (!workspace.ok()) return workspace.status();
  model.prepare(workspace.value());
  StepMemory memory(limits, std::move(workspace).value());
  SLUICE_RETURN_IF_ERROR(memory.add_slots(backend, model));
  return memory;
}

Status StepMemory::add_slots(Backend& backend, const DecoderModel& model) {
  const int64_t max_rows = limits_.max_num_batched_tokens;  // each token may be scored
  const int64_t blocks_a_seq = ceil_div(model.max_model_len(), kBlockTokens);
  for (int i = 0; i < limits_.max_in_flight; ++i) {
    Result<BatchUpload> upload =
        BatchUpload::create(backend, limits_.max_num_batched_tokens, limits_.max_num_seqs,
                            limits_.max_num_seqs * blocks_a_seq);
    if (!upload.ok()) return upload.status();
    Result<Buffer> results = backend.allocate(SampledTokens::bytes(max_rows), Memory::kHost);
    if (!results.ok()) return results.status();
    slots_.push_back({std::move(upload).value(), std::move(results).value()});
  }
  for (Buffer& ids : sampled_ids_) {
    Result<Buffer> made =
        backend.allocate(static_cast<size_t>(max_rows) * sizeof(TokenId), Memory::kDevice);
    if (!made.ok()) return made.status();
    ids = std::move(made).value();
  }
  return {};
}

LocalRunner::LocalRunner(Backend& backend, const DecoderModel& model, const KvStorage& storage,
                         StepMemory memory)
    : backend_(backend),
      model_(model),
      storage_(storage),
      memory_(std::move(memory)),
      steps_(memory_.slots_.size()) {
  SLUICE_CHECK_EQ(storage.layout().block_bytes(),
                  model.kv_layout(storage.layout().dtype).block_bytes());
}

LocalRunner::~LocalRunner() { backend_.synchronize(); }

// ---- a step begins
// ---------------------------------------------------------------------------------------------

Ticket LocalRunner::launch(const StepPlan& plan) {
  const RunnerLimits& limits = memory_.limits_;
  SLUICE_CHECK_LT(num_launched_ - num_collected_, static_cast<uint64_t>(limits.max_in_flight));
  SLUICE_CHECK_LE(plan.num_tokens(), limits.max_num_batched_tokens);
  build_batch(plan, sampled_rows_, batch_);
  // O(size) against a forward pass of millions of operations a token: cheap enough to keep on.
  batch_.validate(storage_.num_blocks(), model_.config().vocab_size, num_sampled_);
  for (const int32_t kv_len : batch_.kv_lens) SLUICE_CHECK_LE(kv_len, model_.max_model_len());
  SLUICE_CHECK_LE(batch_.num_seqs(), limits.max_num_seqs);
  const uint64_t number = num_launched_ + 1;
  Step& step = steps_[slot_of(number)];
  step.num_entries = plan.entries.size();
  step.num_sampled_before = num_sampled_;
  list_logit_rows(plan, step.rows);
  try {
    enqueue_forward(step, slot_of(number));
    if (!plan.masked()) enqueue_sampling(plan, number);
  } catch (...) {
    backend_.synchronize();  // what is enqueued already uses the slot, which is free again
    throw;
  }
  num_launched_ = number;
  num_sampled_ = static_cast<int>(step.rows.size());
  sampled_rows_.clear();
  for (int row = 0; row < num_sampled_; ++row) {
    if (step.rows[row].position != kSamples) continue;
    sampled_rows_[plan.entries[step.rows[row].entry].sequence.get()] = row;
  }
  sampling_.forget_finished();
  return {.step = num_launched_};
}

void LocalRunner::sample(const StepPlan& plan) {
  SLUICE_CHECK_EQ(num_launched_, num_collected_ + 1);
  SLUICE_CHECK_EQ(plan.entries.size(), steps_[slot_of(num_launched_)].num_entries);
  SLUICE_CHECK(!steps_[slot_of(num_launched_)].sampled);
  try {
    enqueue_sampling(plan, num_launched_);
  } catch (...) {
    backend_.synchronize();
    --num_launched_;
    throw;
  }
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
    const Sequence* sequence = entry.sequence.get();
    rows.push_back({.entry = e,
                    .position = kSamples,
                    .pending = entry.last_is_pending ? sampled_rows_.at(sequence) : -1,
                    .reported = params.logprobs,
                    .num_top = params.num_top_logprobs});
  }
}

void LocalRunner::enqueue_forward(Step& step, size_t slot) {
  RaggedBatchView view = memory_.slots_[slot].upload.place(batch_);
  view.sampled = ids_of(num_launched_);
  attention_.plan(view);
  step.states = model_.forward(view, storage_, attention_, memory_.workspace_);
  step.sampled = false;
  SLUICE_CHECK_EQ(static_cast<int64_t>(step.rows.size()), step.states.values.rows);
}

void LocalRunner::enqueue_sampling(const StepPlan& plan, uint64_t number) {
  Step& step = steps_[slot_of(number)];
  const auto num_rows = static_cast<int>(step.rows.size());
  for (int first = 0; first < num_rows;) first += sample_slice(plan, number, first);
  step.sampled = true;
  step.done = backend_.fence();
}

void LocalRunner::add_row(const StepEntry& entry, const LogitRow& row) {
  if (row.position != kSamples) {
    sampling_.add_score_row(*entry.sequence, row.position, sampling_batch_);
    return;
  }
  // Known by now, where the step has waited for masks.
  const int64_t last = entry.first + entry.num_new;
  const bool known = static_cast<int64_t>(entry.sequence->tokens.size()) >= last;
  const bool masked = entry.masked && entry.sequence->state != SequenceState::kFinished;
  sampling_.add_sample_row(entry.sequence, known ? -1 : row.pending, masked, sampling_batch_);
}

int LocalRunner::sample_slice(const StepPlan& plan, uint64_t number, int first) {
  sampling_batch_.clear();
  const Workspace& workspace = memory_.workspace_;
  const size_t slot = slot_of(number);
  const Step& step = steps_[slot];
  const int most =
      static_cast<int>(std::min(workspace.logits().rows, step.states.values.rows - int64_t{first}));
  int count = 0;
  for (; count < most && sampling_batch_.bytes() < kSliceBytes; ++count) {
    const LogitRow& row = step.rows[first + count];
    add_row(plan.entries[row.entry], row);
  }
  sampling_batch_.validate(model_.config().vocab_size, step.num_sampled_before);
  const TensorView logits = workspace.logits().head(count);
  model_.lm_head(logits, step.states.row_range(first, count));
  const auto out =
      SampledTokens::over(memory_.slots_[slot].results.data(), step.states.values.rows);
  backend_.sample(out.after(first), ids_of(number) + first, logits, workspace.scratch(),
                  sampling_batch_, ids_of(number - 1));
  return count;
}

// ---- and ends
// --------------------------------------------------------------------------------------------------

StepResult LocalRunner::collect(Ticket ticket) {
  SLUICE_CHECK_LT(num_collected_, num_launched_);
  SLUICE_CHECK_EQ(ticket.step, num_collected_ + 1);
  ++num_collected_;
  const Step& step = steps_[slot_of(ticket.step)];
  SLUICE_CHECK(step.sampled);
  backend_.wait(step.done);
  const auto sampled = SampledTokens::over(memory_.slots_[slot_of(ticket.step)].results.data(),
                                           static_cast<int64_t>(step.rows.size()));
  StepResult result;
  result.outputs.resize(step.num_entries);
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const LogitRow& row = step.rows[i];
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
