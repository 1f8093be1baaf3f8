// The parsers of the older bodies: completions, chats, tokens.
#include "server/openai/api_request.h"

#include "server/openai/body.h"
#include "server/openai/field_reader.h"
#include "server/openai/generation_fields.h"
#include "server/openai/prompt_parser.h"

namespace sluice {
Result<ApiRequest> parse_chat_request(std::string_view body, const SamplingParams& defaults) {
  Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  ApiRequest request;
  request.protocol = Protocol::kChat;
  request.call.sampling = defaults;
  SLUICE_RETURN_IF_ERROR(read_generation_fields(parsed.value(), &request));
  const JsonValue missing;
  std::vector<ChatMessage> messages;
  SLUICE_RETURN_IF_ERROR(parse_messages(member(parsed.value(), "messages", missing), &messages));
  request.prompts.emplace_back(std::move(messages));
  return request;
}

Result<ApiRequest> parse_completion_request(std::string_view body, const SamplingParams& defaults,
                                            int max_prompts) {
  Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  ApiRequest request;
  request.call.sampling = defaults;
  SLUICE_RETURN_IF_ERROR(read_generation_fields(parsed.value(), &request));
  const JsonValue missing;
  SLUICE_RETURN_IF_ERROR(
      parse_prompts(member(parsed.value(), "prompt", missing), max_prompts, &request.prompts));
  return request;
}

Result<TokenizeRequest> parse_tokenize_request(std::string_view body) {
  Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  const JsonValue missing;
  const auto field = [&](const char* name) { return member(parsed.value(), name, missing); };
  TokenizeRequest request;
  SLUICE_RETURN_IF_ERROR(field("model").read(&request.model));
  SLUICE_RETURN_IF_ERROR(field("add_special_tokens").read(&request.call.add_special_tokens));
  SLUICE_RETURN_IF_ERROR(field("add_generation_prompt").read(&request.call.add_generation_prompt));
  SLUICE_RETURN_IF_ERROR(field("return_token_strs").read(&request.return_token_strs));
  if (!field("messages").value.is_null()) {
    std::vector<ChatMessage> messages;
    SLUICE_RETURN_IF_ERROR(parse_messages(field("messages"), &messages));
    request.call.prompt = std::move(messages);
    return request;
  }
  const Field prompt = field("prompt");
  const std::string* text = prompt.value.as_string();
  if (text == nullptr) return prompt.mismatch("a string (or \"messages\")");
  request.call.prompt = *text;
  return request;
}

Result<DetokenizeRequest> parse_detokenize_request(std::string_view body) {
  Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  const JsonValue missing;
  DetokenizeRequest request;
  SLUICE_RETURN_IF_ERROR(member(parsed.value(), "model", missing).read(&request.model));
  const Field tokens = member(parsed.value(), "tokens", missing);
  if (tokens.value.is_null()) return tokens.mismatch("an array of token ids");
  SLUICE_RETURN_IF_ERROR(tokens.read_ids(&request.tokens));
  return request;
}

}  // namespace sluice
