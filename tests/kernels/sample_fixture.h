// What tests of Backend::sample share: rows as structs, and a call that returns copies.
#pragma once

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "tests/kernels/backends.h"
#include "tests/kernels/tensors.h"

namespace sluice {

// One row's parameters, neutral unless set.
struct SampleRow {
  std::vector<float> logits;
  float temperature = 0, top_p = 1, min_p = 0;
  int top_k = 0;
  float repetition = 1, presence = 0, frequency = 0;
  uint64_t seed = 1;
  int64_t draw = 0;
  TokenId target = -1;
  int num_top = 0;
  std::vector<std::pair<TokenId, int>> history = {};  // id, times in the output
  int32_t pending = -1;                               // index into the ids of the step before
  std::vector<std::pair<TokenId, float>> bias = {};
  std::vector<TokenId> allowed = {}, banned = {};
  std::vector<uint32_t> mask = {};  // empty: none
};

inline void add_row(SamplingBatch& b, const SampleRow& row) {
  b.temperature.push_back(row.temperature);
  b.top_p.push_back(row.top_p);
  b.min_p.push_back(row.min_p);
  b.top_k.push_back(row.top_k);
  b.repetition_penalty.push_back(row.repetition);
  b.presence_penalty.push_back(row.presence);
  b.frequency_penalty.push_back(row.frequency);
  b.seed.push_back(row.seed);
  b.draw.push_back(row.draw);
  b.target.push_back(row.target);
  b.num_top.push_back(row.num_top);
  b.pending.push_back(row.pending);
  for (const auto& [id, count] : row.history) {
    b.history_ids.push_back(id);
    b.history_counts.push_back(count);
  }
  for (const auto& [id, value] : row.bias) {
    b.bias_ids.push_back(id);
    b.bias_values.push_back(value);
  }
  b.allowed_ids.insert(b.allowed_ids.end(), row.allowed.begin(), row.allowed.end());
  b.banned_ids.insert(b.banned_ids.end(), row.banned.begin(), row.banned.end());
  b.mask.push_back(row.mask.empty() ? nullptr : row.mask.data());
  b.history_indptr.push_back(static_cast<int32_t>(b.history_ids.size()));
  b.bias_indptr.push_back(static_cast<int32_t>(b.bias_ids.size()));
  b.allowed_indptr.push_back(static_cast<int32_t>(b.allowed_ids.size()));
  b.banned_indptr.push_back(static_cast<int32_t>(b.banned_ids.size()));
}

// SampledTokens, copied.
struct SampleResults {
  std::vector<TokenId> ids, next, top_ids;
  std::vector<float> logprobs, top_logprobs;
  std::vector<int32_t> ranks;
};

class SampleTest : public KernelTest {
 protected:
  // `sampled`: the ids of the step before.
  SampleResults sample(const std::vector<SampleRow>& rows,
                       const std::vector<TokenId>& sampled = {}) const {
    SamplingBatch batch;
    batch.history_indptr = batch.bias_indptr = batch.allowed_indptr = batch.banned_indptr = {0};
    std::vector<float> logits;
    for (const SampleRow& row : rows) {
      add_row(batch, row);
      logits.insert(logits.end(), row.logits.begin(), row.logits.end());
    }
    const auto vocab = static_cast<int64_t>(rows.front().logits.size());
    batch.validate(static_cast<int>(vocab), static_cast<int>(sampled.size()));
    const auto count = static_cast<int64_t>(rows.size());
    const Buffer device = upload(backend(), logits);
    const Buffer before = upload(backend(), sampled);
    const Buffer next = upload(backend(), std::vector<TokenId>(rows.size(), -7));
    const Buffer memory = backend().allocate(SampledTokens::bytes(count), Memory::kHost).value();
    const auto out = SampledTokens::over(memory.data(), count);
    // Room for fewer rows than there are, where there are many.
    const int64_t room = std::min<int64_t>(count, 7);
    const Buffer scratch = upload(backend(), std::vector<float>(static_cast<size_t>(room * vocab)));
    backend().sample(
        out, next.as<TokenId>(), TensorView::dense(device.data(), DType::kF32, count, vocab),
        TensorView::dense(scratch.data(), DType::kF32, room, vocab), batch, before.as<TokenId>());
    backend().wait(backend().fence());
    SampleResults results{
        .ids = {out.ids, out.ids + count},
        .next = std::vector<TokenId>(rows.size()),
        .top_ids = {out.top_ids, out.top_ids + count * kMaxTopLogprobs},
        .logprobs = {out.logprobs, out.logprobs + count},
        .top_logprobs = {out.top_logprobs, out.top_logprobs + count * kMaxTopLogprobs},
        .ranks = {out.ranks, out.ranks + count}};
    backend().copy(results.next.data(), next.data(), rows.size() * sizeof(TokenId));
    backend().synchronize();
    EXPECT_EQ(results.next, results.ids);
    return results;
  }
  TokenId sample_one(const SampleRow& row) const { return sample({row}).ids[0]; }
};
inline std::vector<float> random_logits(int vocab, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(static_cast<size_t>(vocab));
  for (float& logit : logits) logit = normal(rng);
  return logits;
}

}  // namespace sluice
