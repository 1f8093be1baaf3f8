// What a GenerateCall must be before any work is done for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "server/service.h"

namespace sluice {

// Bounds of one call. The tokens are bounded by the model's length, the sampling parameters by
// SamplingParams::validate.
struct ServiceLimits {
  size_t max_prompt_bytes = size_t{4} << 20;  // text of the prompt, or of all messages together
  size_t max_messages = 4096;
  int64_t max_output_tokens = 1 << 20;  // n * max_tokens: each may wait in memory for its reader
  size_t max_stop = 16;                 // stop strings (OpenAI allows 4)
  size_t max_stop_bytes = 256;          // of each
  size_t max_tools = 128;               // OpenAI's
  size_t max_id_bytes = 256;            // of request_id, and of cache_salt
};

// Sizes and UTF-8 of what the call says, before its prompt is tokenised. kInvalidArgument names the
// field, the value and the limit.
Status check_call(const GenerateCall& call, const ServiceLimits& limits);

}  // namespace sluice
