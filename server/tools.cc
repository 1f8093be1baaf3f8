// Tools as OpenAI writes them.
#include "server/tools.h"

#include <algorithm>

#include "base/text.h"
#include "server/text/answer/bytes.h"

namespace sluice {
namespace {

Status wrong(const std::string& field, const std::string& what) {
  return invalid_argument(str(field, ": ", what), field);
}

std::string describe(const JsonValue* value) { return value ? value->describe() : "nothing"; }

Status check_name(const JsonValue* value, const std::string& field) {
  const std::string* name = value == nullptr ? nullptr : value->as_string();
  if (name == nullptr) return wrong(field, "expected a string, got " + describe(value));
  if (name->empty() || name->size() > kMaxToolNameBytes ||
      !std::all_of(name->begin(), name->end(), is_name_byte)) {
    return wrong(field, str(value->describe(), " is no name; 1 to ", kMaxToolNameBytes,
                            " letters, digits, '_', '-' and '.' are"));
  }
  return {};
}

Status check_function(const JsonValue& tool, const std::string& field) {
  const JsonValue* type = tool.find("type");
  const std::string* kind = type == nullptr ? nullptr : type->as_string();
  if (kind == nullptr || *kind != "function") {
    return {StatusCode::kUnimplemented,
            str(field, ".type: ", describe(type), " is not supported; only \"function\" is"),
            field + ".type"};
  }
  const JsonValue* function = tool.find("function");
  if (function == nullptr || function->as_object() == nullptr) {
    return wrong(field + ".function", "expected an object, got " + describe(function));
  }
  SLUICE_RETURN_IF_ERROR(check_name(function->find("name"), field + ".function.name"));
  const JsonValue* parameters = function->find("parameters");
  if (parameters != nullptr && !parameters->is_null() && parameters->as_object() == nullptr) {
    return wrong(field + ".function.parameters",
                 "expected a JSON schema, an object, got " + describe(parameters));
  }
  const JsonValue* strict = function->find("strict");
  if (strict != nullptr && !strict->is_null() && strict->as_bool() == nullptr) {
    return wrong(field + ".function.strict", "expected true or false, got " + describe(strict));
  }
  return {};
}

}  // namespace

Status check_tools(const GenerateCall& call, size_t max_tools) {
  static const JsonValue::Array kNone;
  const JsonValue::Array* tools = call.tools == nullptr ? &kNone : call.tools->as_array();
  if (tools == nullptr)
    return wrong("tools", "expected an array, got " + describe(call.tools.get()));
  if (tools->size() > max_tools) {
    return wrong("tools", str(tools->size(), " tools; the limit is ", max_tools));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string field = str("tools[", i, "]");
    SLUICE_RETURN_IF_ERROR(check_function((*tools)[i], field));
    const std::string& name = *(*tools)[i].find("function")->find("name")->as_string();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return wrong(field + ".function.name", str("\"", name, "\" is the name of two tools"));
    }
    names.push_back(name);
  }
  if (call.tool_choice != ToolChoice::kRequired) return {};
  if (names.empty()) return wrong("tool_choice", "a call is required, and no tools are offered");
  const bool known = call.required_tool.empty() ||
                     std::find(names.begin(), names.end(), call.required_tool) != names.end();
  if (known) return {};
  return wrong("tool_choice",
               str(JsonValue(call.required_tool).describe(), " is none of the names in tools"));
}

std::vector<std::string> tool_names(const JsonValue& tools) {
  std::vector<std::string> names;
  for (const JsonValue& tool : *tools.as_array()) {
    names.push_back(*tool.find("function")->find("name")->as_string());
  }
  return names;
}

}  // namespace sluice
