// Translation into chats' words.
#include "server/openai/newer_tools.h"

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "base/text.h"

namespace sluice {
namespace {

using Array = JsonValue::Array;
using Object = JsonValue::Object;

std::string word_of(const JsonValue& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  return value == nullptr || value->as_string() == nullptr ? std::string() : *value->as_string();
}

// `object` has text under each of the keys.
Status require_text(const Field& object, std::initializer_list<std::string_view> keys) {
  const JsonValue missing;
  for (const std::string_view key : keys) {
    const JsonValue* value = object.value.find(key);
    if (value != nullptr && value->as_string() != nullptr) continue;
    return Field{str(object.name, ".", key), value == nullptr ? missing : *value}.mismatch(
        "a string");
  }
  return {};
}

// Copies member `from` of `object`, if it is there, as `to`.
void copy_member(const JsonValue& object, std::string_view from, std::string_view to, Object* out) {
  const JsonValue* value = object.find(from);
  if (value != nullptr && !value->is_null()) out->emplace_back(to, *value);
}

// Tools of one protocol. `kind`: its word for a function, where a type is given; `schema`: its name
// for the parameters.
Status read_flat_tools(const Field& field, std::string_view kind, std::string_view schema,
                       GenerationDraft& draft) {
  const Array* tools = field.value.as_array();
  if (field.value.is_null() || (tools != nullptr && tools->empty())) return {};
  if (tools == nullptr) return field.mismatch("an array of tools");
  Array out;
  for (size_t i = 0; i < tools->size(); ++i) {
    const Field tool{str(field.name, "[", i, "]"), (*tools)[i]};
    if (tool.value.as_object() == nullptr) return tool.mismatch("an object");
    if (const JsonValue* type = tool.value.find("type"); type != nullptr && !type->is_null()) {
      if (word_of(tool.value, "type") != kind) {
        return Field{tool.name + ".type", *type}.unsupported(
            str(type->describe(), " is not supported; only \"", kind, "\" is"));
      }
    }
    Object function;
    copy_member(tool.value, "name", "name", &function);
    copy_member(tool.value, "description", "description", &function);
    copy_member(tool.value, schema, "parameters", &function);
    copy_member(tool.value, "strict", "strict", &function);
    Object wrapped;
    wrapped.emplace_back("type", JsonValue(std::string("function")));
    wrapped.emplace_back("function", JsonValue(std::move(function)));
    out.emplace_back(std::move(wrapped));
  }
  draft.request.call.tools = std::make_shared<const JsonValue>(std::move(out));
  return {};
}

Status require_tool(const Field& field, GenerationDraft& draft) {
  const std::string name = word_of(field.value, "name");
  if (name.empty()) return field.mismatch("an object with the \"name\" of a tool");
  draft.request.call.tool_choice = ToolChoice::kRequired;
  draft.request.call.required_tool = name;
  return {};
}

// {"role": "assistant", "content": null, "tool_calls": [...]}, without calls where there are none.
JsonValue assistant_message(JsonValue content, Array calls) {
  Object out;
  out.emplace_back("role", JsonValue(std::string("assistant")));
  out.emplace_back("content", std::move(content));
  if (!calls.empty()) out.emplace_back("tool_calls", JsonValue(std::move(calls)));
  return JsonValue(std::move(out));
}

JsonValue tool_call(const JsonValue& source, std::string_view id, std::string_view arguments) {
  Object function;
  copy_member(source, "name", "name", &function);
  copy_member(source, arguments, "arguments", &function);
  Object out;
  copy_member(source, id, "id", &out);
  out.emplace_back("type", JsonValue(std::string("function")));
  out.emplace_back("function", JsonValue(std::move(function)));
  return JsonValue(std::move(out));
}

JsonValue tool_message(const JsonValue& source, std::string_view id, JsonValue content) {
  Object out;
  out.emplace_back("role", JsonValue(std::string("tool")));
  copy_member(source, id, "tool_call_id", &out);
  out.emplace_back("content", std::move(content));
  return JsonValue(std::move(out));
}

JsonValue member_or(const JsonValue& object, std::string_view key, JsonValue otherwise) {
  const JsonValue* value = object.find(key);
  return value == nullptr || value->is_null() ? std::move(otherwise) : *value;
}

// A block {"type": "tool_use", ...} as a call.
Result<JsonValue> call_of_block(const Field& block) {
  SLUICE_RETURN_IF_ERROR(require_text(block, {"id", "name"}));
  const JsonValue* input = block.value.find("input");
  if (input != nullptr && input->as_object() != nullptr) {
    return tool_call(block.value, "id", "input");
  }
  const JsonValue missing;
  return Field{block.name + ".input", input == nullptr ? missing : *input}.mismatch("an object");
}

}  // namespace

Status read_responses_tools(const Field& field, GenerationDraft& draft) {
  return read_flat_tools(field, "function", "parameters", draft);
}

Status read_responses_tool_choice(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  GenerateCall& call = draft.request.call;
  if (field.value.as_object() != nullptr) {
    if (word_of(field.value, "type") == "function") return require_tool(field, draft);
    return field.unsupported(R"(of objects only {"type": "function", "name": ...} is supported)");
  }
  const std::string* word = field.value.as_string();
  if (word != nullptr && *word == "auto") {
    call.tool_choice = ToolChoice::kAuto;
  } else if (word != nullptr && *word == "none") {
    call.tool_choice = ToolChoice::kNone;
  } else if (word != nullptr && *word == "required") {
    call.tool_choice = ToolChoice::kRequired;
  } else {
    return field.mismatch(R"("auto", "none", "required" or an object)");
  }
  return {};
}

Status read_messages_tools(const Field& field, GenerationDraft& draft) {
  return read_flat_tools(field, "custom", "input_schema", draft);
}

Status read_messages_tool_choice(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  GenerateCall& call = draft.request.call;
  const std::string type = word_of(field.value, "type");
  if (const JsonValue* lone = field.value.find("disable_parallel_tool_use")) {
    bool disabled = false;
    SLUICE_RETURN_IF_ERROR(
        (Field{field.name + ".disable_parallel_tool_use", *lone}.read(&disabled)));
    call.parallel_tool_calls = !disabled;
  }
  if (type == "tool") return require_tool(field, draft);
  if (type == "auto") {
    call.tool_choice = ToolChoice::kAuto;
  } else if (type == "none") {
    call.tool_choice = ToolChoice::kNone;
  } else if (type == "any") {
    call.tool_choice = ToolChoice::kRequired;
  } else {
    return field.mismatch(R"(an object with the "type" "auto", "any", "tool" or "none")");
  }
  return {};
}

Result<JsonValue> chat_message_of_item(const Field& item) {
  const JsonValue* type = item.value.find("type");
  if (type == nullptr || type->is_null()) return item.value;
  const Field field{item.name + ".type", *type};
  if (type->as_string() == nullptr) return field.mismatch("a string");
  const std::string& kind = *type->as_string();
  if (kind == "message") return item.value;
  if (kind == "reasoning") return JsonValue();
  if (kind == "function_call") {
    SLUICE_RETURN_IF_ERROR(require_text(item, {"call_id", "name", "arguments"}));
    return assistant_message(JsonValue(), {tool_call(item.value, "call_id", "arguments")});
  }
  if (kind == "function_call_output") {
    SLUICE_RETURN_IF_ERROR(require_text(item, {"call_id"}));
    return tool_message(item.value, "call_id", member_or(item.value, "output", JsonValue()));
  }
  return field.unsupported(type->describe() +
                           " is not supported; messages, reasoning and function calls are");
}

Result<Array> chat_messages_of_turn(const Field& turn) {
  const JsonValue* content = turn.value.find("content");
  const Array* blocks = content == nullptr ? nullptr : content->as_array();
  if (blocks == nullptr) return Array{turn.value};
  const std::string role = word_of(turn.value, "role");
  Array out;
  Array parts;
  Array calls;
  for (size_t i = 0; i < blocks->size(); ++i) {
    const JsonValue& block = (*blocks)[i];
    const Field field{str(turn.name, ".content[", i, "]"), block};
    const std::string type = word_of(block, "type");
    if (role == "user" && type == "tool_result") {
      SLUICE_RETURN_IF_ERROR(require_text(field, {"tool_use_id"}));
      const JsonValue nothing{std::string()};
      out.push_back(tool_message(block, "tool_use_id", member_or(block, "content", nothing)));
    } else if (role == "assistant" && type == "tool_use") {
      Result<JsonValue> call = call_of_block(field);
      if (!call.ok()) return call.status();
      calls.push_back(std::move(call).value());
    } else if (role != "assistant" || (type != "thinking" && type != "redacted_thinking")) {
      parts.push_back(block);
    }
  }
  if (role == "assistant") {
    const bool silent = parts.empty() && !calls.empty();
    out.push_back(
        assistant_message(silent ? JsonValue() : JsonValue(std::move(parts)), std::move(calls)));
  } else if (!parts.empty() || out.empty()) {
    Object rest;
    rest.emplace_back("role", JsonValue(role));
    rest.emplace_back("content", JsonValue(std::move(parts)));
    out.emplace_back(std::move(rest));
  }
  return out;
}

}  // namespace sluice
