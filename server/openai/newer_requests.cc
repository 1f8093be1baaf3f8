// Parsing of OpenAI's responses and Anthropic's messages into the same struct as chats.
#include <algorithm>

#include "base/text.h"
#include "server/openai/api_request.h"
#include "server/openai/body.h"
#include "server/openai/field_reader.h"
#include "server/openai/generation_fields.h"
#include "server/openai/prompt_parser.h"

namespace sluice {
namespace {

using Messages = std::vector<ChatMessage>;

ChatMessage message_of(std::string role, std::string content) {
  return {.role = std::move(role), .content = std::move(content), .name = {}};
}

// A text, or a list of messages.
Status parse_input(const Field& input, Messages* out) {
  if (const std::string* text = input.value.as_string()) {
    out->push_back(message_of("user", *text));
    return {};
  }
  const JsonValue::Array* items = input.value.as_array();
  if (items == nullptr) return input.mismatch("a string or an array of messages");
  for (size_t i = 0; i < items->size(); ++i) {
    const JsonValue* type = (*items)[i].find("type");
    if (type == nullptr || type->is_null()) continue;
    const Field field{str(input.name, "[", i, "].type"), *type};
    if (type->as_string() == nullptr) return field.mismatch("a string");
    if (*type->as_string() != "message") {
      return field.unsupported(type->describe() + " is not supported; only messages are");
    }
  }
  Messages messages;
  SLUICE_RETURN_IF_ERROR(parse_messages(input, &messages));
  for (ChatMessage& message : messages) {
    // OpenAI's newer name; chat templates know the older one.
    if (message.role == "developer") message.role = "system";
    out->push_back(std::move(message));
  }
  return {};
}

// Anthropic's messages: turns of one role are one turn, and an answer may be begun by the client.
Status parse_turns(const Field& field, GenerateCall* call, Messages* out) {
  Messages messages;
  SLUICE_RETURN_IF_ERROR(parse_messages(field, &messages));
  for (size_t i = 0; i < messages.size(); ++i) {
    ChatMessage& message = messages[i];
    if (message.role != "user" && message.role != "assistant" && message.role != "system") {
      return Field{str(field.name, "[", i, "].role"), JsonValue(message.role)}.mismatch(
          R"("user", "assistant" or "system")");
    }
    if (i > 0 && out->back().role == message.role) {
      out->back().content.append("\n").append(message.content);
    } else {
      out->push_back(std::move(message));
    }
  }
  call->continue_final_message = out->back().role == "assistant";
  return {};
}

Status parse_message_prompt(const JsonValue& body, GenerateCall* call) {
  Messages messages;
  const JsonValue missing;
  if (const Field system = member(body, "system", missing); !system.value.is_null()) {
    std::string text;
    SLUICE_RETURN_IF_ERROR(parse_content(system, &text));
    messages.push_back(message_of("system", std::move(text)));
  }
  Messages turns;
  SLUICE_RETURN_IF_ERROR(parse_turns(member(body, "messages", missing), call, &turns));
  std::move(turns.begin(), turns.end(), std::back_inserter(messages));
  call->prompt = std::move(messages);
  return {};
}

}  // namespace

Result<ApiRequest> parse_responses_request(std::string_view body, const SamplingParams& defaults) {
  const Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  ApiRequest request;
  request.protocol = Protocol::kResponses;
  request.call.sampling = defaults;
  SLUICE_RETURN_IF_ERROR(read_generation_fields(parsed.value(), &request));
  const JsonValue missing;
  Messages messages;
  std::string instructions;
  SLUICE_RETURN_IF_ERROR(member(parsed.value(), "instructions", missing).read(&instructions));
  if (!instructions.empty()) messages.push_back(message_of("system", std::move(instructions)));
  SLUICE_RETURN_IF_ERROR(parse_input(member(parsed.value(), "input", missing), &messages));
  request.prompts.emplace_back(std::move(messages));
  return request;
}

Result<ApiRequest> parse_messages_request(std::string_view body, const SamplingParams& defaults) {
  const Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  ApiRequest request;
  request.protocol = Protocol::kMessages;
  request.call.sampling = defaults;
  SLUICE_RETURN_IF_ERROR(read_generation_fields(parsed.value(), &request));
  SLUICE_RETURN_IF_ERROR(parse_message_prompt(parsed.value(), &request.call));
  request.prompts.push_back(std::move(request.call.prompt));
  return request;
}

Result<TokenizeRequest> parse_count_request(std::string_view body) {
  const Result<JsonValue> parsed = parse_object(body);
  if (!parsed.ok()) return parsed.status();
  TokenizeRequest request;
  const JsonValue missing;
  SLUICE_RETURN_IF_ERROR(member(parsed.value(), "model", missing).read(&request.model));
  SLUICE_RETURN_IF_ERROR(parse_message_prompt(parsed.value(), &request.call));
  return request;
}

}  // namespace sluice
