// Reading members by their type.
#include "server/text/hf/json_fields.h"

#include "base/text.h"

namespace sluice {

JsonFields::JsonFields(const JsonValue& object, const std::string& where)
    : object_(object), where_(where) {
  if (object.as_object() == nullptr) {
    status_ = invalid_argument(str(where, " must be an object, and is ", object.describe()));
  }
}

const JsonValue* JsonFields::find(const char* key) const {
  const JsonValue* value = object_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonFields::fail(const std::string& what) {
  if (status_.ok()) status_ = invalid_argument(str(where_, ": ", what));
}

bool JsonFields::flag(const char* key, bool fallback) {
  const JsonValue* value = find(key);
  if (value == nullptr) return fallback;
  if (const bool* flag = value->as_bool()) return *flag;
  fail(str(key, " must be true or false, and is ", value->describe()));
  return fallback;
}

std::string JsonFields::text(const char* key, const std::string& fallback) {
  return find(key) == nullptr ? fallback : text(key);
}

std::string JsonFields::text(const char* key) {
  const JsonValue* value = find(key);
  if (value != nullptr && value->as_string() != nullptr) return *value->as_string();
  fail(value == nullptr ? str(key, " is missing")
                        : str(key, " must be a string, and is ", value->describe()));
  return {};
}

std::optional<int64_t> JsonFields::integer(const char* key) {
  const JsonValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const int64_t* integer = value->as_integer()) return *integer;
  fail(str(key, " must be an integer, and is ", value->describe()));
  return std::nullopt;
}

const JsonValue::Array& JsonFields::array(const char* key) {
  const JsonValue* value = find(key);
  if (value != nullptr && value->as_array() != nullptr) return *value->as_array();
  fail(str(key, " must be a list"));
  return no_items_;
}

const JsonValue::Object& JsonFields::object(const char* key) {
  const JsonValue* value = find(key);
  if (value != nullptr && value->as_object() != nullptr) return *value->as_object();
  fail(str(key, " must be an object"));
  return no_members_;
}

}  // namespace sluice
