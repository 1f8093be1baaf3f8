// What a GenerateCall must be before any work is done for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "server/service.h"

namespace sluice {

// Bounds of one call. max_model_len bounds the tokens.
struct ServiceLimits {
  size_t max_prompt_bytes = size_t{4} << 20;  // text of the prompt, or of all messages together
  int max_messages = 4096;
  int max_n = 128;                      // OpenAI's
  int64_t max_output_tokens = 1 << 20;  // n * max_tokens: each may wait in memory for its reader
  int max_stop = 16;                    // stop strings (OpenAI allows 4)
  size_t max_stop_bytes = 256;          // of each
  int max_top_logprobs = 20;            // OpenAI's; of output tokens and of prompt tokens
  int max_logit_bias = 1024;            // entries
  int max_stop_token_ids = 256;
  int max_listed_ids = 1 << 20;  // of allowed_token_ids and banned_token_ids each
  size_t max_cache_salt_bytes = 256;
  size_t max_request_id_bytes = 256;
};

// The prompt: kind, sizes, UTF-8, ids below vocab_size. kInvalidArgument names field, value, limit.
Status check_prompt(const GenerateCall& call, const ServiceLimits& limits, int vocab_size);

// Everything else, SamplingParams::validate included.
Status check_call(const GenerateCall& call, const ServiceLimits& limits, int vocab_size);

}  // namespace sluice
