// Values: construction, truth and equality.
#include "server/text/jinja/value.h"

#include <algorithm>
#include <optional>

namespace sluice::jinja {
namespace {

std::optional<int64_t> as_number(const Value& value) {
  if (const bool* flag = value.as<bool>()) return *flag ? 1 : 0;
  if (const int64_t* number = value.as<int64_t>()) return *number;
  return std::nullopt;
}

}  // namespace

void MarkedText::append(std::string_view text, bool from_user) {
  if (text.empty()) return;
  size_ += text.size();
  if (!spans_.empty() && spans_.back().from_user == from_user) {
    spans_.back().text += text;
  } else {
    spans_.push_back({std::string(text), from_user});
  }
}

void MarkedText::append(const MarkedText& other) {
  for (const Span& span : other.spans_) append(span.text, span.from_user);
}

std::string MarkedText::flat() const {
  std::string text;
  text.reserve(size_);
  for (const Span& span : spans_) text += span.text;
  return text;
}

Value make_text(MarkedText text) { return {std::make_shared<const MarkedText>(std::move(text))}; }

Value make_text(std::string_view text, bool from_user) {
  return make_text(MarkedText(text, from_user));
}

Value make_list(std::vector<Value> items) {
  return {std::make_shared<const std::vector<Value>>(std::move(items))};
}

Value make_dict(std::vector<std::pair<std::string, Value>> items) {
  return {std::make_shared<const std::vector<std::pair<std::string, Value>>>(std::move(items))};
}

const char* type_name(const Value& value) {
  static constexpr const char* kNames[] = {"undefined", "none", "boolean", "integer",
                                           "string",    "list", "mapping"};
  return kNames[value.data.index()];
}

bool truthy(const Value& value) {
  if (const auto number = as_number(value)) return *number != 0;
  if (const auto* text = value.as<Value::Text>()) return (*text)->size() > 0;
  if (const auto* list = value.as<Value::List>()) return !(*list)->empty();
  if (const auto* dict = value.as<Value::Dict>()) return !(*dict)->empty();
  return false;
}

bool equal(const Value& a, const Value& b) {
  const auto number_a = as_number(a);
  const auto number_b = as_number(b);
  if (number_a && number_b) return *number_a == *number_b;
  if (a.data.index() != b.data.index()) return false;
  if (const auto* text = a.as<Value::Text>())
    return (*text)->flat() == (*b.as<Value::Text>())->flat();
  if (const auto* list = a.as<Value::List>()) {
    const auto& other = **b.as<Value::List>();
    return std::equal((*list)->begin(), (*list)->end(), other.begin(), other.end(), equal);
  }
  if (const auto* dict = a.as<Value::Dict>()) {
    const auto& other = *b.as<Value::Dict>();
    return (*dict)->size() == other->size() &&
           std::all_of((*dict)->begin(), (*dict)->end(), [&](const auto& item) {
             const Value* match = find(other, item.first);
             return match != nullptr && equal(item.second, *match);
           });
  }
  return true;  // undefined, none
}

const Value* find(const Value::Dict& dict, std::string_view key) {
  for (const auto& [name, value] : *dict) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace sluice::jinja
