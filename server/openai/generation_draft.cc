// What concerns several fields of a request.
#include "server/openai/generation_draft.h"

#include <algorithm>

#include "base/text.h"

namespace sluice {

Status GenerationDraft::settle() {
  SLUICE_RETURN_IF_ERROR(settle_lengths());
  SLUICE_RETURN_IF_ERROR(settle_logprobs());
  return settle_stream();
}

Status GenerationDraft::settle_lengths() {
  if (max_completion_tokens) max_tokens = max_completion_tokens;
  if (request.protocol == Protocol::kMessages && !max_tokens) {
    return invalid_argument("max_tokens: expected an integer, got null", "max_tokens");
  }
  // A chat answers at the length it needs; the older API stops at its default of 16 tokens.
  request.call.max_tokens_given = max_tokens.has_value() || request.protocol == Protocol::kText;
  if (max_tokens) sampling().max_tokens = *max_tokens;
  if (best_of && *best_of != sampling().n) {
    return {StatusCode::kUnimplemented,
            str("best_of: ", *best_of, " is not supported; only n, here ", sampling().n, ", is"),
            "best_of"};
  }
  return {};
}

Status GenerationDraft::settle_logprobs() {
  // The newer API has no flag of its own beside the count.
  if (request.protocol == Protocol::kResponses && top_logprobs.value_or(0) > 0) {
    chat_logprobs = true;
  }
  if (top_logprobs.value_or(0) > 0 && !chat_logprobs) {
    return invalid_argument("top_logprobs: needs \"logprobs\": true", "top_logprobs");
  }
  SamplingParams& params = sampling();
  params.logprobs = chat_logprobs || text_logprobs.has_value();
  params.num_top_logprobs = top_logprobs.value_or(text_logprobs.value_or(0));
  // Echoed prompts are scored like the output; without any output, scoring is all there is to do.
  const bool score_echo = request.echo && text_logprobs.has_value();
  const bool no_output = request.echo && max_tokens == 0;
  request.report_prompt_logprobs = prompt_logprobs.has_value();
  params.prompt_logprobs = score_echo || no_output || prompt_logprobs.has_value();
  params.num_prompt_top_logprobs =
      std::max(prompt_logprobs.value_or(0), score_echo ? *text_logprobs : 0);
  return {};
}

Status GenerationDraft::settle_stream() const {
  if (has_stream_options && !request.stream) {
    return invalid_argument("stream_options: needs \"stream\": true", "stream_options");
  }
  if (request.report_prompt_logprobs && request.stream) {
    return invalid_argument("prompt_logprobs: not available with \"stream\": true",
                            "prompt_logprobs");
  }
  return {};
}

}  // namespace sluice
