// Values: construction, truth, equality and order.
#include "server/text/jinja/value.h"

#include <algorithm>

namespace sluice::jinja {

Value make_text(MarkedText text) { return {std::make_shared<const MarkedText>(std::move(text))}; }

Value make_text(std::string_view text, bool from_user) {
  return make_text(MarkedText(text, from_user));
}

int depth_of(const Value& value) {
  if (const auto* list = value.as<Value::List>()) return (*list)->depth;
  if (const auto* dict = value.as<Value::Dict>()) return (*dict)->depth;
  return 0;
}

size_t weight_of(const Value& value) {
  constexpr size_t kTextBytes = 32;
  if (const auto* text = value.as<Value::Text>()) return 1 + (*text)->size() / kTextBytes;
  if (const auto* list = value.as<Value::List>()) return (*list)->weight;
  if (const auto* dict = value.as<Value::Dict>()) return (*dict)->weight;
  return 1;
}

// Weights of values that exist are bounded (Runtime), so these sums do not overflow.
Value make_list(std::vector<Value> items, ListKind kind) {
  int depth = 0;
  size_t weight = 1;
  for (const Value& item : items) {
    depth = std::max(depth, depth_of(item));
    weight += weight_of(item);
  }
  return {std::make_shared<const ListData>(ListData{std::move(items), kind, depth + 1, weight})};
}

Value make_dict(std::vector<DictItem> items) {
  int depth = 0;
  size_t weight = 1;
  for (const DictItem& item : items) {
    depth = std::max(depth, depth_of(item.value));
    weight += weight_of(item.value) + 1;
  }
  return {std::make_shared<const DictData>(DictData{std::move(items), depth + 1, weight})};
}

const char* type_name(const Value& value) {
  static constexpr const char* kNames[] = {"undefined", "none",   "boolean", "integer",
                                           "float",     "string", "list",    "mapping",
                                           "namespace", "loop",   "function"};
  return kNames[value.data.index()];
}

std::optional<int64_t> as_integer(const Value& value) {
  if (const bool* flag = value.as<bool>()) return *flag ? 1 : 0;
  if (const int64_t* number = value.as<int64_t>()) return *number;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const double* number = value.as<double>()) return *number;
  if (const auto integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

bool truthy(const Value& value) {
  if (const auto number = as_number(value)) return *number != 0;
  if (const auto* text = value.as<Value::Text>()) return (*text)->size() > 0;
  if (const auto* list = value.as<Value::List>())
    return (*list)->kind == ListKind::kGenerator || !(*list)->items.empty();
  if (const auto* dict = value.as<Value::Dict>()) return !(*dict)->items.empty();
  return !value.is<Value::Undefined>() && !value.is<Value::None>();
}

bool equal(const Value& a, const Value& b) {
  const auto integer_a = as_integer(a), integer_b = as_integer(b);
  if (integer_a && integer_b) return *integer_a == *integer_b;
  const auto number_a = as_number(a), number_b = as_number(b);
  if (number_a && number_b) return *number_a == *number_b;
  if (a.data.index() != b.data.index()) return false;
  if (const auto* text = a.as<Value::Text>()) {
    return (*text)->size() == (*b.as<Value::Text>())->size() &&
           (*text)->flat() == (*b.as<Value::Text>())->flat();
  }
  if (const auto* list = a.as<Value::List>()) {
    const ListData& other = **b.as<Value::List>();
    return (*list)->kind == other.kind && std::equal((*list)->items.begin(), (*list)->items.end(),
                                                     other.items.begin(), other.items.end(), equal);
  }
  if (const auto* dict = a.as<Value::Dict>()) {
    const DictData& other = **b.as<Value::Dict>();
    return (*dict)->items.size() == other.items.size() &&
           std::all_of((*dict)->items.begin(), (*dict)->items.end(), [&](const DictItem& item) {
             const Value* match = find(other, item.key);
             return match != nullptr && equal(item.value, *match);
           });
  }
  if (const auto* space = a.as<Value::Namespace>()) return *space == *b.as<Value::Namespace>();
  if (const auto* loop = a.as<Value::Loop>()) return *loop == *b.as<Value::Loop>();
  if (const auto* function = a.as<Value::Function>()) return *function == *b.as<Value::Function>();
  return true;  // undefined, none
}

std::optional<int> compare(const Value& a, const Value& b) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  const auto integer_a = as_integer(a), integer_b = as_integer(b);
  if (integer_a && integer_b) return sign(*integer_a, *integer_b);
  const auto number_a = as_number(a), number_b = as_number(b);
  if (number_a && number_b) return sign(*number_a, *number_b);
  const auto* text_a = a.as<Value::Text>();
  const auto* text_b = b.as<Value::Text>();
  if (text_a != nullptr && text_b != nullptr) {
    return (*text_a)->flat().compare((*text_b)->flat());
  }
  const auto* list_a = a.as<Value::List>();
  const auto* list_b = b.as<Value::List>();
  if (list_a == nullptr || list_b == nullptr || (*list_a)->kind != (*list_b)->kind) {
    return std::nullopt;
  }
  const auto& left = (*list_a)->items;
  const auto& right = (*list_b)->items;
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (!equal(left[i], right[i])) return compare(left[i], right[i]);
  }
  return sign(left.size(), right.size());
}

const Value* find(const DictData& dict, std::string_view key) {
  for (const DictItem& item : dict.items) {
    if (item.key == key) return &item.value;
  }
  return nullptr;
}

}  // namespace sluice::jinja
