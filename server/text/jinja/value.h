// Values of the template language, and text that remembers who wrote it.
//
//   MarkedText   | "<|im_start|>" template | "user" user | "\n" template | "…<|im_end|>…" user | …
//
// Every operation on text keeps the marks, so whatever a template does with a user's words, they
// are still the user's when the prompt is cut into control tokens and plain text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::jinja {

class MarkedText {
 public:
  struct Span {
    std::string text;  // never empty
    bool from_user;
  };

  MarkedText() = default;
  MarkedText(std::string_view text, bool from_user) { append(text, from_user); }

  void append(std::string_view text, bool from_user);
  void append(const MarkedText& other);

  // Neighbours differ in from_user.
  const std::vector<Span>& spans() const { return spans_; }
  size_t size() const { return size_; }  // bytes
  std::string flat() const;              // without marks

 private:
  std::vector<Span> spans_;
  size_t size_ = 0;
};

// Immutable and cheap to copy. Integers are the only numbers.
struct Value {
  struct Undefined {
    std::string name;  // what was looked up in vain, for messages
  };
  struct None {};
  using Text = std::shared_ptr<const MarkedText>;
  using List = std::shared_ptr<const std::vector<Value>>;
  using Dict = std::shared_ptr<const std::vector<std::pair<std::string, Value>>>;

  std::variant<Undefined, None, bool, int64_t, Text, List, Dict> data;

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
};

Value make_text(MarkedText text);
Value make_text(std::string_view text, bool from_user);
Value make_list(std::vector<Value> items);
Value make_dict(std::vector<std::pair<std::string, Value>> items);

// "undefined", "none", "boolean", "integer", "string", "list" or "mapping".
const char* type_name(const Value& value);
// As in Python: undefined, none, false, 0 and whatever is empty are false.
bool truthy(const Value& value);
// Text by its bytes, whoever wrote it; true is 1; values of other different types are unequal.
bool equal(const Value& a, const Value& b);
// The item called `key`, or null.
const Value* find(const Value::Dict& dict, std::string_view key);

}  // namespace sluice::jinja
