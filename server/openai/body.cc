// Reading a body's outermost object.
#include "server/openai/body.h"

#include "base/text.h"

namespace sluice {

Result<JsonValue> parse_object(std::string_view body) {
  Result<JsonValue> parsed = JsonValue::parse(body);
  if (!parsed.ok()) return invalid_argument("the body is " + parsed.status().message());
  if (parsed->as_object() == nullptr) {
    return invalid_argument(str("the body must be a JSON object, got ", parsed->describe()));
  }
  return parsed;
}

Field member(const JsonValue& body, const char* name, const JsonValue& missing) {
  const JsonValue* value = body.find(name);
  return {name, value == nullptr ? missing : *value};
}

}  // namespace sluice
