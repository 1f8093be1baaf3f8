// Parsing of OpenAI's responses and Anthropic's messages into the same struct as chats.
#include <algorithm>
#include <memory>

#include "base/text.h"
#include "server/openai/api_request.h"
#include "server/openai/body.h"
#include "server/openai/field_reader.h"
#include "server/openai/generation_fields.h"
#include "server/openai/newer_tools.h"
#include "server/openai/prompt_parser.h"

namespace sluice {
namespace {

using Messages = std::vector<ChatMessage>;

ChatMessage message_of(std::string role, std::string content) {
  return {.role = std::move(role), .content = std::move(content), .name = {}};
}

// The calls of `message`, after those that `turn` has.
void add_calls(const ChatMessage& message, ChatMessage* turn) {
  if (message.more == nullptr || message.more->find("tool_calls") == nullptr) return;
  JsonValue::Object more = turn->more == nullptr ? JsonValue::Object() : *turn->more->as_object();
  auto calls = std::find_if(more.begin(), more.end(),
                            [](const auto& member) { return member.first == "tool_calls"; });
  if (calls == more.end()) {
    calls = more.insert(more.end(), {"tool_calls", JsonValue(JsonValue::Array())});
  }
  JsonValue::Array& list = *calls->second.mutable_array();
  const JsonValue::Array& added = *message.more->find("tool_calls")->as_array();
  list.insert(list.end(), added.begin(), added.end());
  turn->more = std::make_shared<const JsonValue>(std::move(more));
}

// Goes on with the turn before, if it is the same one's.
void add_turn(ChatMessage message, Messages* out) {
  if (out->empty() || message.role == "tool" || out->back().role != message.role) {
    out->push_back(std::move(message));
    return;
  }
  ChatMessage& turn = out->back();
  add_calls(message, &turn);
  if (!message.has_content) return;
  if (turn.has_content) turn.content.push_back('\n');
  turn.content += message.content;
  turn.has_content = true;
}

Status check_role(const Field& turn) {
  if (turn.value.as_object() == nullptr) return turn.mismatch("an object");
  const JsonValue missing;
  const JsonValue* given = turn.value.find("role");
  const Field role{turn.name + ".role", given == nullptr ? missing : *given};
  const std::string* word = role.value.as_string();
  const bool known =
      word != nullptr && (*word == "user" || *word == "assistant" || *word == "system");
  return known ? Status() : role.mismatch(R"("user", "assistant" or "system")");
}

// A text, or a list of messages.
Status parse_input(const Field& input, Messages* out) {
  if (const std::string* text = input.value.as_string()) {
    out->push_back(message_of("user", *text));
    return {};
  }
  const JsonValue::Array* items = input.value.as_array();
  if (items == nullptr) return input.mismatch("a string or an array of messages");
  if (items->empty()) return input.wrong("at least one message is needed");
  for (size_t i = 0; i < items->size(); ++i) {
    const Field item{str(input.name, "[", i, "]"), (*items)[i]};
    const Result<JsonValue> translated = chat_message_of_item(item);
    if (!translated.ok()) return translated.status();
    if (translated->is_null()) continue;
    ChatMessage message;
    SLUICE_RETURN_IF_ERROR(parse_message({item.name, translated.value()}, &message));
    // OpenAI's newer name; chat templates know the older one.
    if (message.role == "developer") message.role = "system";
    const bool call_of_turn = message.role == "assistant" && !message.has_content;
    if (call_of_turn && !out->empty() && out->back().role == "assistant") {
      add_calls(message, &out->back());
    } else {
      out->push_back(std::move(message));
    }
  }
  return {};
}

// Anthropic's messages: turns of one role are one turn, and an answer may be begun by the client.
Status parse_turns(const Field& field, GenerateCall* call, Messages* out) {
  const JsonValue::Array* turns = field.value.as_array();
  if (turns == nullptr) return field.mismatch("an array of messages");
  if (turns->empty()) return field.wrong("at least one message is needed");
  for (size_t i = 0; i < turns->size(); ++i) {
    const Field turn{str(field.name, "[", i, "]"), (*turns)[i]};
    SLUICE_RETURN_IF_ERROR(check_role(turn));
    const Result<JsonValue::Array> translated = chat_messages_of_turn(turn);
    if (!translated.ok()) return translated.status();
    for (const JsonValue& value : translated.value()) {
      ChatMessage message;
      SLUICE_RETURN_IF_ERROR(parse_message({turn.name, value}, &message));
      add_turn(std::move(message), out);
    }
  }
  call->continue_final_message = out->back().role == "assistant" && out->back().has_content;
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
