// SamplingBatch: how each logit row of a step becomes a token. Plain data, one entry a row, CSR for
// lists.
//
// Per row, in vLLM's order (v1/sample/sampler.py):
//   1 raw logprobs = log_softmax(logits): these are what logprobs and top_logprobs report
//   2 allowed ids (a non-empty list forbids all others), then banned ids          -> -inf
//   3 logit_bias added
//   4 repetition penalty over prompt + output ids (x > 0 ? x / r : x * r), then
//     frequency * count and presence * (count > 0) over output ids, subtracted
//   5 temperature 0: the largest logit, the lowest id among equals. Otherwise divide by the
//   temperature,
//     drop p < min_p * max p, then keep the top_k largest, then the smallest set whose p sums to >=
//     top_p, and draw: argmax_i p_i / e_i, the lowest id among equals, e_i = -ln u_i,
//     u_i = (floor(w / 2^9) + 1/2) / 2^23, w the first word of Philox4x32-10 under key (seed) and
//     counter (draw, id, 0), each low word first: the draw depends on the seed, the draw's number
//     and the distribution, on nothing else in the batch.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace sluice {

inline constexpr int kMaxTopLogprobs = 20;  // OpenAI's limit, and the width of SampledTokens' lists

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

  int num_rows() const { return static_cast<int>(temperature.size()); }
  void clear();  // keeps the memory for the next step
  // CHECKs shapes, CSR order, ranges of ids and parameters.
  void validate(int vocab_size) const;
};

// What came out, a row each; host memory, filled by Backend::sample and complete after
// synchronize().
struct SampledTokens {
  std::vector<TokenId>
      ids;  // [rows] the token, or the target; -1: a logit was NaN or +inf, or all are -inf
  std::vector<float> logprobs;  // [rows] raw logprob of ids
  std::vector<int32_t>
      ranks;  // [rows] 1 + number of ids with a larger raw logprob; 0 if num_top is 0
  std::vector<TokenId> top_ids;  // [rows * kMaxTopLogprobs] best first; equal ones by ascending id
  std::vector<float> top_logprobs;  // [rows * kMaxTopLogprobs]

  void resize(int rows);
};

}  // namespace sluice
