// GenerationDraft: a request under way, while its fields are read one by one.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "server/openai/api_request.h"

namespace sluice {

// Fields that only make sense together wait here until all are read.
struct GenerationDraft {
  ApiRequest request;
  std::optional<int64_t> max_tokens;
  std::optional<int64_t> max_completion_tokens;
  std::optional<int32_t> best_of;
  std::optional<int32_t> top_logprobs;     // chats
  std::optional<int32_t> text_logprobs;    // completions: their `logprobs`
  std::optional<int32_t> prompt_logprobs;  // OpenAI's completions, vLLM's
  bool chat_logprobs = false;              // chats: token scores are wanted
  bool has_stream_options = false;

  SamplingParams& sampling() { return request.call.sampling; }
  // What several fields mean together, once all are read.
  Status settle();

 private:
  Status settle_lengths();
  Status settle_logprobs();
  Status settle_stream() const;
};

}  // namespace sluice
