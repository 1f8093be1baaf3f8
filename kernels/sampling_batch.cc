// SamplingBatch: its check; how a step's results lie in one piece of memory.
#include "kernels/sampling_batch.h"

#include "base/check.h"

namespace sluice {
namespace {

void check_csr(const std::vector<int32_t>& indptr, size_t rows, size_t entries) {
  SLUICE_CHECK_EQ(indptr.size(), rows + 1);
  SLUICE_CHECK_EQ(indptr.front(), 0);
  SLUICE_CHECK_EQ(static_cast<size_t>(indptr.back()), entries);
  for (size_t r = 0; r < rows; ++r) SLUICE_CHECK_LE(indptr[r], indptr[r + 1]);
}

void check_ids(const std::vector<TokenId>& ids, int vocab_size) {
  for (const TokenId id : ids) SLUICE_CHECK(id >= 0 && id < vocab_size);
}

}  // namespace

void SamplingBatch::clear() {
  for (auto* list : {&temperature, &top_p, &min_p, &repetition_penalty, &presence_penalty,
                     &frequency_penalty, &bias_values}) {
    list->clear();
  }
  for (auto* list :
       {&top_k, &target, &num_top, &pending, &history_indptr, &history_ids, &history_counts,
        &bias_indptr, &bias_ids, &allowed_indptr, &allowed_ids, &banned_indptr, &banned_ids}) {
    list->clear();
  }
  seed.clear();
  draw.clear();
  mask.clear();
}

int64_t SamplingBatch::bytes() const {
  int64_t total = 0;
  const auto add = [&](const auto&... lists) {
    ((total += static_cast<int64_t>(lists.size() * sizeof(lists[0]))), ...);
  };
  add(temperature, top_p, min_p, top_k, repetition_penalty, presence_penalty, frequency_penalty);
  add(seed, draw, target, num_top, pending, history_indptr, history_ids, history_counts);
  add(bias_indptr, bias_ids, bias_values, allowed_indptr, allowed_ids, banned_indptr, banned_ids);
  add(mask);
  return total;
}

void SamplingBatch::validate(int vocab_size, int num_sampled) const {
  const size_t rows = temperature.size();
  for (const size_t size : {top_p.size(), min_p.size(), top_k.size(), repetition_penalty.size(),
                            presence_penalty.size(), frequency_penalty.size(), seed.size(),
                            draw.size(), target.size(), num_top.size(), pending.size()}) {
    SLUICE_CHECK_EQ(size, rows);
  }
  SLUICE_CHECK(mask.empty() || mask.size() == rows);
  check_csr(history_indptr, rows, history_ids.size());
  SLUICE_CHECK_EQ(history_counts.size(), history_ids.size());
  check_csr(bias_indptr, rows, bias_ids.size());
  SLUICE_CHECK_EQ(bias_values.size(), bias_ids.size());
  check_csr(allowed_indptr, rows, allowed_ids.size());
  check_csr(banned_indptr, rows, banned_ids.size());
  for (const auto* ids : {&history_ids, &bias_ids, &allowed_ids, &banned_ids})
    check_ids(*ids, vocab_size);
  for (size_t r = 0; r < rows; ++r) {
    SLUICE_CHECK(temperature[r] >= 0 && top_p[r] > 0 && top_p[r] <= 1 && min_p[r] >= 0 &&
                 min_p[r] <= 1);
    SLUICE_CHECK(repetition_penalty[r] > 0 && target[r] < vocab_size);
    SLUICE_CHECK(num_top[r] >= 0 && num_top[r] <= kMaxTopLogprobs);
    SLUICE_CHECK(pending[r] >= -1 && pending[r] < num_sampled);
  }
}

size_t SampledTokens::bytes(int64_t rows) {
  constexpr size_t kTop = kMaxTopLogprobs * (sizeof(TokenId) + sizeof(float));
  return static_cast<size_t>(rows) * (sizeof(TokenId) + sizeof(float) + sizeof(int32_t) + kTop);
}

SampledTokens SampledTokens::over(void* memory, int64_t rows) {
  SampledTokens tokens;
  tokens.ids = static_cast<TokenId*>(memory);
  tokens.logprobs = reinterpret_cast<float*>(tokens.ids + rows);
  tokens.ranks = reinterpret_cast<int32_t*>(tokens.logprobs + rows);
  tokens.top_ids = reinterpret_cast<TokenId*>(tokens.ranks + rows);
  tokens.top_logprobs = reinterpret_cast<float*>(tokens.top_ids + rows * kMaxTopLogprobs);
  return tokens;
}

SampledTokens SampledTokens::after(int64_t count) const {
  return {.ids = ids + count,
          .logprobs = logprobs + count,
          .ranks = ranks + count,
          .top_ids = top_ids + count * kMaxTopLogprobs,
          .top_logprobs = top_logprobs + count * kMaxTopLogprobs};
}

}  // namespace sluice
