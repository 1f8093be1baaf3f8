// SamplingBatch: how each logit row of a step becomes a token. Plain data, one entry a row, CSR for
// lists.
//
// Per row, in vLLM's order (v1/sample/sampler.py):
//   1 raw logprobs = log_softmax(logits): these are what logprobs and top_logprobs report
//   2 allowed ids (a non-empty list forbids all others), the mask, then banned ids   -> -inf
//   3 logit_bias added
//   4 repetition penalty over prompt + output ids (x > 0 ? x / r : x * r), then
//     frequency * count and presence * (count > 0) over output ids, subtracted; the pending token,
//     where there is one, is an output id more
//   5 temperature 0: the largest logit, the lowest id among equals. Otherwise divide by the
//   temperature,
//     drop p < min_p * max p, then keep the top_k largest, then the smallest set whose p sums to >=
//     top_p, and draw: argmax_i p_i / e_i, the lowest id among equals, e_i = -ln u_i,
//     u_i = (floor(w / 2^9) + 1/2) / 2^23, w the first word of Philox4x32-10 under key (seed) and
//     counter (draw, id, 0), each low word first: the draw depends on the seed, the draw's number
//     and the distribution, on nothing else in the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"

namespace sluice {

inline constexpr int kMaxTopLogprobs = 20;  // OpenAI's limit, and the width of SampledTokens' lists

// Words of a mask over `vocab_size` tokens: bit t % 32 of word t / 32 stands for token t.
constexpr size_t mask_words(int vocab_size) { return (static_cast<size_t>(vocab_size) + 31) / 32; }

// CSR lists by row: entries of row r are [indptr[r], indptr[r + 1]).
struct SamplingBatch {
  std::vector<float> temperature, top_p, min_p;  // [rows]
  std::vector<int32_t> top_k;                    // [rows], <= 0: all
  std::vector<float> repetition_penalty, presence_penalty,
      frequency_penalty;         // [rows], neutral 1, 0, 0
  std::vector<uint64_t> seed;    // [rows]
  std::vector<int64_t> draw;     // [rows] number of the draw
  std::vector<TokenId> target;   // [rows] >= 0: report this token's logprob, sample nothing
  std::vector<int32_t> num_top;  // [rows] top logprobs wanted, 0 ... kMaxTopLogprobs
  // [rows] index of the row's newest output token among the ids that the step before samples, where
  // the host does not know it yet; -1: it is in the history. Penalties alone look at it.
  std::vector<int32_t> pending;

  std::vector<int32_t> history_indptr;  // [rows + 1]; distinct ids for the penalties
  std::vector<TokenId> history_ids;
  std::vector<int32_t> history_counts;  // times in the output; 0: only in the prompt
  std::vector<int32_t> bias_indptr;     // [rows + 1]
  std::vector<TokenId> bias_ids;
  std::vector<float> bias_values;
  std::vector<int32_t> allowed_indptr;  // [rows + 1]
  std::vector<TokenId> allowed_ids;
  std::vector<int32_t> banned_indptr;  // [rows + 1]
  std::vector<TokenId> banned_ids;
  // [rows], or empty where no row has one: mask_words() words of host memory in which the bits of
  // the tokens that may come are set; null: all may. They are read when the batch is.
  std::vector<const uint32_t*> mask;

  int num_rows() const { return static_cast<int>(temperature.size()); }
  int64_t bytes() const;  // of all arrays, without the masks that `mask` points at
  void clear();           // keeps the memory for the next step
  // CHECKs shapes, CSR order, ranges of ids and parameters.
  // `num_sampled`: ids of the step before, which `pending` may point at.
  void validate(int vocab_size, int num_sampled = 0) const;
};

// What came out, a row each: arrays in memory that somebody else owns.
struct SampledTokens {
  TokenId* ids = nullptr;  // [rows] the token, or the target; -1: a logit was NaN or +inf, or all
                           // are -inf
  float* logprobs = nullptr;  // [rows] raw logprob of ids
  int32_t* ranks = nullptr;   // [rows] 1 + ids with a larger raw logprob; 0 if num_top is 0
  // [rows * kMaxTopLogprobs] the num_top best first, equal ones by ascending id; -1 where there are
  // fewer. What follows in a row's list is not written.
  TokenId* top_ids = nullptr;
  float* top_logprobs = nullptr;

  static size_t bytes(int64_t rows);
  // Over `memory` of bytes(rows) bytes.
  static SampledTokens over(void* memory, int64_t rows);
  // Without the first `count` rows.
  SampledTokens after(int64_t count) const;
};

}  // namespace sluice
