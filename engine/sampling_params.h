// How one request's tokens are chosen and when it stops. Names and defaults are vLLM's.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace sluice {

// Bounds of one request, so that no client can make a step's sampling arrays large.
inline constexpr int kMaxChoices = 128;
inline constexpr int kMaxStopIds = 128;
inline constexpr int kMaxListedIds = 1024;  // each of logit_bias, allowed and banned ids

struct SamplingParams {
  int n = 1;                 // choices; 1 ... kMaxChoices
  int64_t max_tokens = 16;   // output tokens of each choice; 0 only to score the prompt
  int64_t min_tokens = 0;    // end-of-sequence and stop ids are banned before
  float temperature = 1.0F;  // 0: greedy
  float top_p = 1.0F;
  int32_t top_k = 0;  // 0 or -1: all
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::optional<uint64_t> seed;  // absent: drawn at admission; choice i uses seed + i
  bool ignore_eos = false;
  std::vector<TokenId> stop_token_ids;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<TokenId> allowed_token_ids;  // empty: all
  std::vector<TokenId> banned_token_ids;
  bool logprobs = false;         // report each token's logprob
  int num_top_logprobs = 0;      // and the best n beside it, 0 ... kMaxTopLogprobs
  bool prompt_logprobs = false;  // score the prompt too (positions 1 ...), with num_prompt_top best
  int num_prompt_top_logprobs = 0;

  bool greedy() const { return temperature == 0.0F; }
  // Ranges, finite numbers, ids below vocab_size, list sizes; the message names field, value and
  // range.
  Status validate(int vocab_size) const;
};

}  // namespace sluice
