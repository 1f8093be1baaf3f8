// JsonValue's parser: nlohmann's SAX events into our own tree, with the bounds checked on the way.
#include "server/text/json_value.h"

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

constexpr size_t kMaxShownBytes = 40;  // of a client's value in a message

// Builds the tree. Every handler returns false after fail(), which ends the parse at once.
class TreeBuilder {
 public:
  // NOLINTBEGIN(readability-identifier-naming): the library's names.
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  bool null() { return add(std::monostate()); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(number_integer_t value) { return add(int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return fail(str("the integer ", value, " is beyond 64 bits"));
    }
    return add(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& text) {
    // The lexer reports integers that do not fit as floats.
    if (text.find_first_of(".eE") == string_t::npos) {
      return fail(str("the integer ", shorten(text), " is beyond 64 bits"));
    }
    return add(value);
  }
  bool string(string_t& value) { return add(std::move(value)); }
  bool binary(binary_t&) { return fail("binary values are not JSON"); }
  bool start_object(size_t) { return open(JsonValue::Object()); }
  bool start_array(size_t) { return open(JsonValue::Array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(string_t& name) {
    if (!keys_.back().insert(name).second) {
      return fail(str("the key \"", shorten(name), "\" stands twice in one object"));
    }
    open_.back()->mutable_object()->emplace_back().first = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // The library's words name our types and echo the input; only its kind is passed on.
    constexpr int kOutOfRange = 406;
    return fail(error.id == kOutOfRange ? str("a number at byte ", position, " is beyond a double")
                                        : str("syntax or encoding error at byte ", position));
  }
  // NOLINTEND(readability-identifier-naming)

  JsonValue& root() { return root_; }
  const std::string& error() const { return error_; }

  static std::string shorten(std::string_view text) {
    std::string out(text.substr(0, kMaxShownBytes));
    if (text.size() > kMaxShownBytes) out += "...";
    return out;
  }

 private:
  bool fail(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return false;
  }
  // Where the next value goes.
  JsonValue* slot() {
    if (open_.empty()) return &root_;
    if (JsonValue::Array* array = open_.back()->mutable_array()) return &array->emplace_back();
    return &open_.back()->mutable_object()->back().second;
  }
  template <typename T>
  bool add(T value) {
    slot()->set(std::move(value));
    return true;
  }
  template <typename T>
  bool open(T container) {
    if (open_.size() >= kMaxJsonDepth) {
      return fail(str("nested deeper than ", kMaxJsonDepth, " levels"));
    }
    JsonValue* value = slot();
    value->set(std::move(container));
    open_.push_back(value);
    keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  JsonValue root_;
  // The containers on the way down. Pointers stay valid: a parent does not grow while a child is
  // open.
  std::vector<JsonValue*> open_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::string error_;
};

}  // namespace

Result<JsonValue> JsonValue::parse(std::string_view text) {
  TreeBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return invalid_argument(str("not valid JSON: ", builder.error()));
  }
  return std::move(builder.root());
}

void append_json(std::string* out, const JsonValue& value) {
  const char* comma = "";
  if (const std::string* text = value.as_string()) {
    append_json_string(out, *text);
  } else if (const JsonValue::Array* array = value.as_array()) {
    out->push_back('[');
    for (const JsonValue& item : *array) {
      out->append(std::exchange(comma, ","));
      append_json(out, item);
    }
    out->push_back(']');
  } else if (const JsonValue::Object* object = value.as_object()) {
    out->push_back('{');
    for (const auto& [name, member] : *object) {
      out->append(std::exchange(comma, ","));
      append_json_string(out, name);
      out->push_back(':');
      append_json(out, member);
    }
    out->push_back('}');
  } else if (const double* number = value.as_float()) {
    char buffer[32];
    out->append(buffer, std::to_chars(buffer, buffer + sizeof buffer, *number).ptr);
  } else if (const int64_t* integer = value.as_integer()) {
    append_json(out, *integer);
  } else {
    const bool* flag = value.as_bool();
    out->append(flag == nullptr ? "null" : *flag ? "true" : "false");
  }
}

const JsonValue* JsonValue::find(std::string_view key) const {
  const Object* object = as_object();
  if (object == nullptr) return nullptr;
  for (const auto& [name, value] : *object) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string JsonValue::describe() const {
  if (is_null()) return "null";
  if (const bool* flag = as_bool()) return *flag ? "true" : "false";
  if (const int64_t* integer = as_integer()) return str("the number ", *integer);
  if (const double* number = as_float()) return str("the number ", *number);
  if (const std::string* text = as_string()) {
    // Cut in the text, not in its escapes, and repaired where the cut splits a code point.
    std::string out = "the string ";
    append_json_string(&out, TreeBuilder::shorten(*text));
    return out;
  }
  return as_array() != nullptr ? "an array" : "an object";
}

}  // namespace sluice
