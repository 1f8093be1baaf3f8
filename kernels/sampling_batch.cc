// SamplingBatch: its check; the room for what a step samples.
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
       {&top_k, &target, &num_top, &history_indptr, &history_ids, &history_counts, &bias_indptr,
        &bias_ids, &allowed_indptr, &allowed_ids, &banned_indptr, &banned_ids}) {
    list->clear();
  }
  seed.clear();
  draw.clear();
}

void SamplingBatch::validate(int vocab_size) const {
  const size_t rows = temperature.size();
  for (const size_t size : {top_p.size(), min_p.size(), top_k.size(), repetition_penalty.size(),
                            presence_penalty.size(), frequency_penalty.size(), seed.size(),
                            draw.size(), target.size(), num_top.size()}) {
    SLUICE_CHECK_EQ(size, rows);
  }
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
  }
}

void SampledTokens::resize(int rows) {
  ids.resize(rows);
  logprobs.resize(rows);
  ranks.resize(rows);
  top_ids.resize(static_cast<size_t>(rows) * kMaxTopLogprobs);
  top_logprobs.resize(static_cast<size_t>(rows) * kMaxTopLogprobs);
}

}  // namespace sluice
