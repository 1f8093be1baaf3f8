// References and types of schemas, and which of them exclude each other.
#include "server/grammar/schema_parts.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/text.h"

namespace sluice {

std::vector<std::string_view> types_of(const JsonValue& schema) {
  const JsonValue* type = schema.find("type");
  std::vector<std::string_view> types;
  if (type == nullptr) return types;
  if (const std::string* one = type->as_string()) types.push_back(*one);
  if (const JsonValue::Array* several = type->as_array()) {
    for (const JsonValue& one : *several) {
      if (one.as_string() != nullptr) types.push_back(*one.as_string());
    }
  }
  return types;
}

const JsonValue* resolve_ref(const JsonValue& root, std::string_view path) {
  for (const char* name : {"$defs", "definitions"}) {
    const std::string prefix = str("#/", name, '/');
    if (!path.starts_with(prefix)) continue;
    const JsonValue* definitions = root.find(name);
    const std::string_view key = path.substr(prefix.size());
    if (key.find_first_of("/~%") != std::string_view::npos) return nullptr;
    return definitions == nullptr ? nullptr : definitions->find(key);
  }
  return nullptr;
}

namespace {

// What tells a schema from others: its types, or values of the whole or of required properties.
struct Marks {
  std::vector<std::string_view> types;
  std::set<std::string> values;  // by description; empty: not known
  std::vector<std::pair<std::string_view, std::set<std::string>>> properties;
};

std::set<std::string> texts_of(const JsonValue& schema) {
  std::set<std::string> texts;
  if (const JsonValue* value = schema.find("const")) {
    if (value->as_string() != nullptr) texts.insert(*value->as_string());
  }
  const JsonValue* values = schema.find("enum");
  if (values == nullptr || values->as_array() == nullptr) return texts;
  for (const JsonValue& value : *values->as_array()) {
    if (value.as_string() == nullptr) return {};
    texts.insert(*value.as_string());
  }
  return texts;
}

Marks marks_of(const JsonValue& schema, const JsonValue& root) {
  const JsonValue* whole = &schema;
  if (const JsonValue* ref = schema.find("$ref"); ref != nullptr && ref->as_string() != nullptr) {
    whole = resolve_ref(root, *ref->as_string());
    if (whole == nullptr) return {};
  }
  Marks marks{.types = types_of(*whole), .values = texts_of(*whole), .properties = {}};
  if (!marks.values.empty() && marks.types.empty()) marks.types = {"string"};
  const JsonValue* required = whole->find("required");
  const JsonValue* properties = whole->find("properties");
  if (marks.types != std::vector<std::string_view>{"object"} || required == nullptr ||
      properties == nullptr || required->as_array() == nullptr) {
    return marks;
  }
  for (const JsonValue& name : *required->as_array()) {
    const std::string* key = name.as_string();
    const JsonValue* property = key == nullptr ? nullptr : properties->find(*key);
    if (property == nullptr) continue;
    if (auto texts = texts_of(*property); !texts.empty()) {
      marks.properties.emplace_back(*key, std::move(texts));
    }
  }
  return marks;
}

bool disjoint(const std::set<std::string>& a, const std::set<std::string>& b) {
  return !a.empty() && !b.empty() &&
         std::ranges::none_of(a, [&](const std::string& text) { return b.contains(text); });
}

bool overlap(std::string_view a, std::string_view b) {
  const auto number = [](std::string_view t) { return t == "integer" || t == "number"; };
  return a == b || (number(a) && number(b));
}

bool exclude(const Marks& a, const Marks& b) {
  if (disjoint(a.values, b.values)) return true;
  for (const auto& [key, texts] : a.properties) {
    for (const auto& [other_key, other] : b.properties) {
      if (key == other_key && disjoint(texts, other)) return true;
    }
  }
  if (a.types.empty() || b.types.empty()) return false;
  return std::ranges::none_of(a.types, [&](std::string_view type) {
    return std::ranges::any_of(b.types,
                               [&](std::string_view other) { return overlap(type, other); });
  });
}

}  // namespace

bool exclude_each_other(const JsonValue::Array& schemas, const JsonValue& root) {
  std::vector<Marks> marks;
  for (const JsonValue& schema : schemas) marks.push_back(marks_of(schema, root));
  for (size_t i = 0; i < marks.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!exclude(marks[i], marks[j])) return false;
    }
  }
  return true;
}

}  // namespace sluice
