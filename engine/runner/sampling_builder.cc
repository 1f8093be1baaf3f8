// Sampling parameters as rows, and the histories behind the penalties.
#include "engine/runner/sampling_builder.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {
namespace {

// An empty batch has empty CSR offsets; the first row opens them with their leading 0.
void open_row(SamplingBatch& batch) {
  if (batch.num_rows() > 0) return;
  for (auto* indptr :
       {&batch.history_indptr, &batch.bias_indptr, &batch.allowed_indptr, &batch.banned_indptr}) {
    indptr->assign(1, 0);
  }
}

// Ends the lists of the row that was just filled.
void close_row(SamplingBatch& batch) {
  batch.history_indptr.push_back(static_cast<int32_t>(batch.history_ids.size()));
  batch.bias_indptr.push_back(static_cast<int32_t>(batch.bias_ids.size()));
  batch.allowed_indptr.push_back(static_cast<int32_t>(batch.allowed_ids.size()));
  batch.banned_indptr.push_back(static_cast<int32_t>(batch.banned_ids.size()));
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

bool uses_penalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 ||
         params.frequency_penalty != 0;
}

}  // namespace

void SamplingBuilder::add_sample_row(const std::shared_ptr<Sequence>& sequence, int32_t pending,
                                     bool masked, SamplingBatch& batch) {
  const Request& request = *sequence->request;
  const SamplingParams& params = request.sampling;
  const int64_t num_output = static_cast<int64_t>(sequence->tokens.size()) -
                             sequence->prompt_len() + (pending >= 0 ? 1 : 0);
  open_row(batch);
  batch.temperature.push_back(params.temperature);
  batch.top_p.push_back(params.top_p);
  batch.min_p.push_back(params.min_p);
  batch.top_k.push_back(params.top_k);
  batch.repetition_penalty.push_back(params.repetition_penalty);
  batch.presence_penalty.push_back(params.presence_penalty);
  batch.frequency_penalty.push_back(params.frequency_penalty);
  batch.seed.push_back(sequence->seed);
  batch.draw.push_back(num_output);
  batch.target.push_back(-1);
  batch.num_top.push_back(params.logprobs ? params.num_top_logprobs : 0);
  batch.pending.push_back(pending);
  batch.mask.push_back(masked ? sequence->constraint->mask().data() : nullptr);
  if (uses_penalties(params)) {
    const History& history = updated_history(sequence);
    append(batch.history_ids, history.ids);
    append(batch.history_counts, history.counts);
  }
  for (const auto& [id, bias] : params.logit_bias) {
    batch.bias_ids.push_back(id);
    batch.bias_values.push_back(bias);
  }
  append(batch.allowed_ids, params.allowed_token_ids);
  append(batch.banned_ids, params.banned_token_ids);
  if (num_output < params.min_tokens) {
    append(batch.banned_ids, params.stop_token_ids);
    if (!params.ignore_eos) append(batch.banned_ids, request.eos_ids);
  }
  close_row(batch);
}

void SamplingBuilder::add_score_row(const Sequence& sequence, int64_t position,
                                    SamplingBatch& batch) {
  SLUICE_CHECK_LT(position, static_cast<int64_t>(sequence.tokens.size()));
  open_row(batch);
  batch.temperature.push_back(0);
  batch.top_p.push_back(1);
  batch.min_p.push_back(0);
  batch.top_k.push_back(0);
  batch.repetition_penalty.push_back(1);
  batch.presence_penalty.push_back(0);
  batch.frequency_penalty.push_back(0);
  batch.seed.push_back(0);
  batch.draw.push_back(0);
  batch.target.push_back(sequence.tokens[static_cast<size_t>(position)]);
  batch.num_top.push_back(sequence.request->sampling.num_prompt_top_logprobs);
  batch.pending.push_back(-1);
  batch.mask.push_back(nullptr);
  close_row(batch);
}

SamplingBuilder::History& SamplingBuilder::updated_history(
    const std::shared_ptr<Sequence>& sequence) {
  History& history = histories_[sequence.get()];
  if (history.sequence.lock() != sequence) {
    history = {};
    history.sequence = sequence;
    // Only the repetition penalty looks at the prompt.
    if (sequence->request->sampling.repetition_penalty == 1)
      history.num_counted = sequence->prompt_len();
  }
  const auto num_tokens = static_cast<int64_t>(sequence->tokens.size());
  for (; history.num_counted < num_tokens; ++history.num_counted) {
    const TokenId id = sequence->tokens[static_cast<size_t>(history.num_counted)];
    const auto place = static_cast<int32_t>(history.ids.size());
    const auto [found, is_new] = history.index.emplace(id, place);
    if (is_new) {
      history.ids.push_back(id);
      history.counts.push_back(0);
    }
    if (history.num_counted >= sequence->prompt_len()) ++history.counts[found->second];
  }
  return history;
}

void SamplingBuilder::forget_finished() {
  std::erase_if(histories_, [](const auto& item) {
    const std::shared_ptr<const Sequence> sequence = item.second.sequence.lock();
    return sequence == nullptr || sequence->state == SequenceState::kFinished;
  });
}

}  // namespace sluice
