// JsonValue: a parsed JSON body, small and bounded. The JSON library stays behind json_value.cc.
//
// Why not the library's own tree: it recurses when it destroys or prints a deep one, turns integers
// beyond 64 bits into floats silently, and keeps the last of two equal keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace sluice {

inline constexpr int kMaxJsonDepth = 64;

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<std::pair<std::string, JsonValue>>;  // in the body's order

  // Parses a whole text. kInvalidArgument for anything but one JSON value in valid UTF-8: nesting
  // beyond kMaxJsonDepth, a key twice in one object, NaN or Infinity, a number that no double or
  // 64-bit integer holds, bytes after the end. The message says where.
  static Result<JsonValue> parse(std::string_view text);

  JsonValue() = default;
  template <typename T>
  explicit JsonValue(T value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  const bool* as_bool() const { return std::get_if<bool>(&value_); }
  const int64_t* as_integer() const { return std::get_if<int64_t>(&value_); }
  const double* as_float() const { return std::get_if<double>(&value_); }  // written as one
  const std::string* as_string() const { return std::get_if<std::string>(&value_); }
  const Array* as_array() const { return std::get_if<Array>(&value_); }
  const Object* as_object() const { return std::get_if<Object>(&value_); }
  template <typename T>
  void set(T value) {
    value_.template emplace<T>(std::move(value));
  }
  Array* mutable_array() { return std::get_if<Array>(&value_); }
  Object* mutable_object() { return std::get_if<Object>(&value_); }

  // The member `key` of an object; null if there is none or this is no object.
  const JsonValue* find(std::string_view key) const;
  // What it is, for messages: `the string "hot"`, `the number 1.5`, `an array`, `null`.
  std::string describe() const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

// Appends `value` as JSON, its members in their order. Strings are repaired as append_json_string
// does.
void append_json(std::string* out, const JsonValue& value);

}  // namespace sluice
