// Bounds, and access to what values hold.
#include "server/text/jinja/runtime.h"

#include <algorithm>

#include "base/text.h"
#include "server/text/jinja/methods.h"

namespace sluice::jinja {

Value Runtime::fail(const std::string& what) {
  if (status_.ok()) status_ = invalid_argument(str("line ", line_, ": ", what));
  return {};
}

void Runtime::count_work(const Value& value) { count_step(weight_of(value) / kWeightPerStep); }

void Runtime::count_step(size_t steps) {
  steps_ += static_cast<int64_t>(steps);
  if (steps_ > kMaxSteps) fail(str("more than ", kMaxSteps, " steps"));
}

bool Runtime::may_make_text(size_t bytes) {
  text_bytes_ += std::min(bytes, kMaxIntermediateBytes + 1);
  if (text_bytes_ > kMaxIntermediateBytes) {
    fail(str("more than ", kMaxIntermediateBytes, " bytes of text on the way"));
  }
  return ok();
}

bool Runtime::may_make_items(size_t count) {
  num_items_ += std::min(count, kMaxItems + 1);
  if (num_items_ > kMaxItems) fail(str("more than ", kMaxItems, " items on the way"));
  return ok();
}

Value Runtime::text(MarkedText text) {
  return may_make_text(text.size()) ? make_text(std::move(text)) : Value();
}

Value Runtime::deep_enough(Value value) {
  if (weight_of(value) > kMaxWeight) {
    return fail(str("a value of more than ", kMaxWeight, " items in all"));
  }
  if (depth_of(value) <= kMaxValueDepth) return value;
  return fail(str("values nested deeper than ", kMaxValueDepth, " levels"));
}

Value Runtime::list(std::vector<Value> items, ListKind kind) {
  if (!may_make_items(items.size() + 1)) return {};
  return deep_enough(make_list(std::move(items), kind));
}

Value Runtime::dict(std::vector<DictItem> items) {
  if (!may_make_items(items.size() + 1)) return {};
  return deep_enough(make_dict(std::move(items)));
}

Value Runtime::new_namespace() {
  if (!may_make_items(1)) return {};
  namespaces_.push_back(std::make_unique<NamespaceData>());
  return {namespaces_.back().get()};
}

MarkedText Runtime::printed(const Value& value) {
  MarkedText out;
  if (const auto* text = value.as<Value::Text>()) return **text;
  if (value.is<Value::Undefined>()) return out;
  const auto* list = value.as<Value::List>();
  const bool plain = (list != nullptr && (*list)->kind == ListKind::kGenerator) ||
                     value.is<Value::Namespace>() || value.is<Value::Loop>() ||
                     value.is<Value::Function>();
  if (plain) {
    fail(str("a value of type ", type_name(value), " cannot be printed"));
  } else {
    append_repr(value, out);
  }
  return out;
}

std::vector<Value> Runtime::items_of(const Value& value) {
  if (const auto* list = value.as<Value::List>()) {
    return may_make_items((*list)->items.size()) ? (*list)->items : std::vector<Value>();
  }
  std::vector<Value> items;
  if (const auto* dict = value.as<Value::Dict>()) {
    if (!may_make_items((*dict)->items.size())) return {};
    for (const DictItem& item : (*dict)->items) {
      items.push_back(make_text(item.key, item.key_from_user));
    }
  } else if (const auto* text = value.as<Value::Text>()) {
    if (!may_make_items((*text)->size())) return {};
    for (const MarkedText::Span& span : (*text)->spans()) {
      std::string_view rest = span.text;
      while (!rest.empty()) {
        const size_t size = code_point_offset(rest, 1);
        items.push_back(make_text(rest.substr(0, size), span.from_user));
        rest.remove_prefix(size);
      }
    }
  } else if (!value.is<Value::Undefined>()) {
    fail(str("a value of type ", type_name(value), " is not iterable"));
  }
  return items;
}

namespace {

// The item of a list or text at a Python index, or nothing.
std::optional<size_t> position(int64_t index, int64_t size) {
  const int64_t at = index < 0 ? index + size : index;
  if (at < 0 || at >= size) return std::nullopt;
  return static_cast<size_t>(at);
}

// What `loop` says of itself.
std::optional<Value> loop_attribute(const LoopData& loop, const std::string& name) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto count = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value{index + 1};
  if (name == "index0") return Value{index};
  if (name == "revindex") return Value{count - index};
  if (name == "revindex0") return Value{count - index - 1};
  if (name == "first") return Value{index == 0};
  if (name == "last") return Value{index + 1 == count};
  if (name == "length") return Value{count};
  if (name == "depth") return Value{int64_t{loop.depth}};
  if (name == "depth0") return Value{int64_t{loop.depth - 1}};
  if (name == "previtem" && index > 0) return loop.items[loop.index - 1];
  if (name == "nextitem" && index + 1 < count) return loop.items[loop.index + 1];
  return std::nullopt;
}

}  // namespace

Value Runtime::attribute(const Value& object, const std::string& name) {
  if (const auto* undefined = object.as<Value::Undefined>()) {
    return fail(str("'", undefined->name, "' is undefined"));
  }
  if (is_method(object, name)) {
    return {std::make_shared<const FunctionData>(FunctionData{name, object, nullptr, 0})};
  }
  if (const auto* dict = object.as<Value::Dict>()) {
    if (const Value* item = find(**dict, name)) return *item;
  } else if (const auto* space = object.as<Value::Namespace>()) {
    for (const auto& [key, value] : (*space)->items) {
      if (key == name) return value;
    }
  } else if (const auto* loop = object.as<Value::Loop>()) {
    if (auto found = loop_attribute(**loop, name)) return *std::move(found);
  }
  return {Value::Undefined{name}};
}

Value Runtime::subscript(const Value& object, const Value& index) {
  if (!ok()) return {};
  if (const auto* undefined = object.as<Value::Undefined>()) {
    return fail(str("'", undefined->name, "' is undefined"));
  }
  const auto at = as_integer(index);
  if (const auto* list = object.as<Value::List>(); list != nullptr && at) {
    const auto found = position(*at, static_cast<int64_t>((*list)->items.size()));
    return found ? (*list)->items[*found] : Value{Value::Undefined{str("item ", *at)}};
  }
  if (const auto* text = object.as<Value::Text>(); text != nullptr && at) {
    const std::string flat = (*text)->flat();
    const auto found = position(*at, count_code_points(flat));
    if (!found) return {Value::Undefined{str("item ", *at)}};
    const auto first = static_cast<int64_t>(*found);
    return this->text(
        (*text)->slice(code_point_offset(flat, first), code_point_offset(flat, first + 1)));
  }
  const auto* key = index.as<Value::Text>();
  if (key == nullptr) return {Value::Undefined{str("an item by ", type_name(index))}};
  const std::string name = (*key)->flat();
  if (const auto* dict = object.as<Value::Dict>()) {
    if (const Value* item = find(**dict, name)) return *item;
  }
  return attribute(object, name);
}

Value Runtime::path(const Value& object, const Value& path) {
  if (const auto at = as_integer(path)) return subscript(object, Value{*at});
  const std::string whole = printed(path).flat();
  Value value = object;
  for (size_t begin = 0; begin <= whole.size() && ok();) {
    const size_t end = std::min(whole.find('.', begin), whole.size());
    const std::string part = whole.substr(begin, end - begin);
    const bool is_number = !part.empty() && part.size() < 10 &&
                           part.find_first_not_of("0123456789") == std::string::npos;
    value = subscript(value, is_number ? Value{int64_t{std::stol(part)}} : make_text(part, false));
    begin = end + 1;
  }
  return value;
}

Bound::Bound(Runtime& runtime, const Arguments& arguments,
             std::initializer_list<std::string_view> parameters)
    : runtime_(runtime), values_(parameters.size()), given_(parameters.size()) {
  if (arguments.positional.size() > parameters.size()) {
    runtime.fail(str("more than ", parameters.size(), " arguments"));
    return;
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    values_[i] = arguments.positional[i];
    given_[i] = true;
  }
  for (const auto& [name, value] : arguments.named) {
    const auto* found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      runtime.fail(str("the argument ", name, " is not known"));
      return;
    }
    const auto i = static_cast<size_t>(found - parameters.begin());
    values_[i] = value;
    given_[i] = true;
  }
}

int64_t Bound::integer(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  if (const auto number = as_integer(values_[i])) return *number;
  runtime_.fail(str("an integer is needed, not a value of type ", type_name(values_[i])));
  return fallback;
}

std::string Bound::text(size_t i, const std::string& fallback) const {
  if (!has(i)) return fallback;
  if (const auto* text = values_[i].as<Value::Text>()) return (*text)->flat();
  runtime_.fail(str("a string is needed, not a value of type ", type_name(values_[i])));
  return fallback;
}

int64_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

size_t code_point_offset(std::string_view text, int64_t n) {
  size_t at = 0;
  for (; at < text.size() && n > 0; --n) {
    do ++at;
    while (at < text.size() && (text[at] & 0xC0) == 0x80);
  }
  return at;
}

}  // namespace sluice::jinja
