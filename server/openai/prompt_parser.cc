// Parsing of prompts and messages.
#include "server/openai/prompt_parser.h"

#include "base/text.h"

namespace sluice {
namespace {

// One {"type": "text", "text": ...}, appended to *out.
Status append_part(const Field& part, std::string* out) {
  if (part.value.as_object() == nullptr) return part.mismatch("an object");
  const JsonValue* type = part.value.find("type");
  if (type == nullptr || type->as_string() == nullptr) {
    return Field{part.name + ".type", type == nullptr ? JsonValue() : *type}.mismatch("a string");
  }
  const std::string& kind = *type->as_string();
  if (kind != "text" && kind != "input_text" && kind != "output_text") {
    return Field{part.name + ".type", *type}.unsupported(type->describe() +
                                                         " is not supported; only text parts are");
  }
  const JsonValue* text = part.value.find("text");
  if (text == nullptr || text->as_string() == nullptr) {
    return Field{part.name + ".text", text == nullptr ? JsonValue() : *text}.mismatch("a string");
  }
  out->append(*text->as_string());
  return {};
}

// A call's arguments arrive as JSON in a string; templates want what it says.
Status read_arguments(const Field& call, JsonValue* out) {
  const JsonValue* function = out->find("function");
  const JsonValue* arguments = function == nullptr ? nullptr : function->find("arguments");
  if (arguments == nullptr || arguments->as_string() == nullptr) return {};
  Result<JsonValue> parsed = JsonValue::parse(*arguments->as_string());
  if (!parsed.ok() || parsed->as_object() == nullptr) {
    return Field{call.name + ".function.arguments", *arguments}.wrong(
        "it must hold a JSON object, as text");
  }
  for (auto& [name, value] : *out->mutable_object()) {
    if (name != "function") continue;
    for (auto& [key, member] : *value.mutable_object()) {
      if (key == "arguments") member = std::move(parsed).value();
    }
  }
  return {};
}

// What a template may ask about tools: the calls of an assistant, the call that a tool answers.
Status read_tool_members(const Field& field, ChatMessage* out) {
  JsonValue::Object more;
  if (const JsonValue* calls = field.value.find("tool_calls");
      calls != nullptr && !calls->is_null()) {
    const Field all{field.name + ".tool_calls", *calls};
    if (calls->as_array() == nullptr) return all.mismatch("an array of calls");
    JsonValue::Array list = *calls->as_array();
    for (size_t i = 0; i < list.size(); ++i) {
      const Field call{str(all.name, "[", i, "]"), list[i]};
      if (list[i].as_object() == nullptr) return call.mismatch("an object");
      JsonValue copy = list[i];
      SLUICE_RETURN_IF_ERROR(read_arguments(call, &copy));
      list[i] = std::move(copy);
    }
    if (!list.empty()) more.emplace_back("tool_calls", JsonValue(std::move(list)));
  }
  for (const char* key : {"tool_call_id", "reasoning_content"}) {
    const JsonValue* value = field.value.find(key);
    if (value == nullptr || value->is_null()) continue;
    if (value->as_string() == nullptr)
      return Field{str(field.name, ".", key), *value}.mismatch("a string");
    more.emplace_back(key, *value);
  }
  if (!more.empty()) out->more = std::make_shared<const JsonValue>(std::move(more));
  return {};
}

}  // namespace

Status parse_message(const Field& field, ChatMessage* out) {
  if (field.value.as_object() == nullptr) return field.mismatch("an object");
  const JsonValue missing;
  const auto member = [&](const char* key) {
    const JsonValue* value = field.value.find(key);
    return Field{str(field.name, ".", key), value == nullptr ? missing : *value};
  };
  const Field role = member("role");
  if (role.value.as_string() == nullptr) return role.mismatch("a string");
  SLUICE_RETURN_IF_ERROR(role.read(&out->role));
  if (out->role == "function") {
    return role.unsupported("use role \"tool\"; function messages are not supported");
  }
  for (const char* key : {"function_call", "audio"}) {
    const Field call = member(key);
    const JsonValue::Array* array = call.value.as_array();
    if (!call.value.is_null() && (array == nullptr || !array->empty())) {
      return call.unsupported("not supported; leave it out");
    }
  }
  SLUICE_RETURN_IF_ERROR(member("name").read(&out->name));
  SLUICE_RETURN_IF_ERROR(read_tool_members(field, out));
  const Field content = member("content");
  if (content.value.is_null() && out->more != nullptr && out->more->find("tool_calls") != nullptr) {
    out->has_content = false;
    return {};
  }
  return parse_content(content, &out->content);
}

Status parse_content(const Field& field, std::string* out) {
  if (field.value.as_string() != nullptr) return field.read(out);
  const JsonValue::Array* parts = field.value.as_array();
  if (parts == nullptr) return field.mismatch("a string or an array of text parts");
  for (size_t i = 0; i < parts->size(); ++i) {
    if (i > 0) out->push_back('\n');
    SLUICE_RETURN_IF_ERROR(append_part({str(field.name, "[", i, "]"), (*parts)[i]}, out));
  }
  return {};
}

Status parse_messages(const Field& field, std::vector<ChatMessage>* out) {
  const JsonValue::Array* messages = field.value.as_array();
  if (messages == nullptr) return field.mismatch("an array of messages");
  if (messages->empty()) return field.wrong("at least one message is needed");
  for (size_t i = 0; i < messages->size(); ++i) {
    SLUICE_RETURN_IF_ERROR(
        parse_message({str(field.name, "[", i, "]"), (*messages)[i]}, &out->emplace_back()));
  }
  return {};
}

Status parse_prompts(const Field& field, int max_prompts, std::vector<Prompt>* out) {
  constexpr const char* kWanted = "a string, an array of token ids, or an array of these";
  if (const std::string* text = field.value.as_string()) {
    out->emplace_back(*text);
    return {};
  }
  const JsonValue::Array* array = field.value.as_array();
  if (array == nullptr) return field.mismatch(kWanted);
  if (array->empty()) return field.wrong("at least one prompt is needed");
  if (array->front().as_integer() != nullptr) {
    std::vector<TokenId> ids;
    SLUICE_RETURN_IF_ERROR(field.read_ids(&ids));
    out->emplace_back(std::move(ids));
    return {};
  }
  if (array->size() > static_cast<size_t>(max_prompts)) {
    return field.wrong(str(array->size(), " prompts in one request; the limit is ", max_prompts,
                           ": send them in several requests"));
  }
  for (size_t i = 0; i < array->size(); ++i) {
    const Field element{str(field.name, "[", i, "]"), (*array)[i]};
    if (const std::string* text = element.value.as_string()) {
      out->emplace_back(*text);
    } else if (element.value.as_array() != nullptr) {
      std::vector<TokenId> ids;
      SLUICE_RETURN_IF_ERROR(element.read_ids(&ids));
      out->emplace_back(std::move(ids));
    } else {
      return element.mismatch("a string or an array of token ids");
    }
  }
  return {};
}

}  // namespace sluice
