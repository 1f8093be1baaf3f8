// Filters of lists and mappings.
#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "server/text/hf/unicode.h"
#include "server/text/jinja/filters.h"
#include "server/text/jinja/operators.h"
#include "server/text/jinja/tests.h"

namespace sluice::jinja {
namespace {

// The first positional argument, taken out.
std::optional<Value> take_first(Arguments& arguments) {
  if (arguments.positional.empty()) return std::nullopt;
  Value first = std::move(arguments.positional.front());
  arguments.positional.erase(arguments.positional.begin());
  return first;
}

// The items for which `is attribute test(arguments)` holds, or does not.
Value filtered(Runtime& runtime, const Value& value, Arguments arguments, bool by_attribute,
               bool wanted) {
  std::optional<Value> attribute;
  if (by_attribute) {
    attribute = take_first(arguments);
    if (!attribute) return runtime.fail("the name of an attribute is missing");
  }
  const std::optional<Value> name = take_first(arguments);
  const Test* test = name ? find_test(runtime.printed(*name).flat()) : nullptr;
  if (name && test == nullptr) {
    return runtime.fail(str("the test ", runtime.printed(*name).flat(), " is not supported"));
  }
  std::vector<Value> items;
  for (const Value& item : runtime.items_of(value)) {
    const Value looked_at = attribute ? runtime.path(item, *attribute) : item;
    const bool holds =
        test != nullptr ? test->holds(runtime, looked_at, arguments) : truthy(looked_at);
    if (holds == wanted) items.push_back(item);
    if (!runtime.ok()) return {};
  }
  return runtime.list(std::move(items), ListKind::kGenerator);
}

// What items are ordered by: the value or its attribute, texts in lower case unless case counts.
Value sort_key(Runtime& runtime, const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = attribute != nullptr ? runtime.path(item, *attribute) : item;
  const auto* text = key.as<Value::Text>();
  if (text == nullptr || case_sensitive) return key;
  return runtime.text(to_lower((*text)->flat()));
}

std::vector<std::pair<Value, Value>> keyed(Runtime& runtime, const std::vector<Value>& items,
                                           const Value* attribute, bool case_sensitive) {
  std::vector<std::pair<Value, Value>> pairs;
  for (const Value& item : items) {
    pairs.emplace_back(sort_key(runtime, item, attribute, case_sensitive), item);
  }
  return pairs;
}

Value sorted(Runtime& runtime, std::vector<std::pair<Value, Value>> pairs, bool reverse) {
  for (const auto& [key, item] : pairs) {
    if (!compare(pairs.front().first, key)) return runtime.fail("values that have no order");
  }
  // A merge sort: unlike std::sort it stays inside its arrays where the order contradicts itself.
  const auto before = [&](const auto& a, const auto& b) {
    runtime.count_step();
    const int order = runtime.ok() ? compare(a.first, b.first).value_or(0) : 0;
    return reverse ? order > 0 : order < 0;
  };
  std::vector<std::pair<Value, Value>> merged(pairs.size());
  for (size_t width = 1; width < pairs.size() && runtime.ok(); width *= 2) {
    for (size_t at = 0; at < pairs.size(); at += 2 * width) {
      const auto begin = pairs.begin() + static_cast<std::ptrdiff_t>(at);
      const auto left = static_cast<std::ptrdiff_t>(std::min(width, pairs.size() - at));
      const auto both = static_cast<std::ptrdiff_t>(std::min(2 * width, pairs.size() - at));
      std::merge(begin, begin + left, begin + left, begin + both,
                 merged.begin() + static_cast<std::ptrdiff_t>(at), before);
    }
    pairs.swap(merged);
  }
  std::vector<Value> items;
  for (auto& [key, item] : pairs) items.push_back(std::move(item));
  return runtime.list(std::move(items));
}

Value extreme(Runtime& runtime, const Value& value, const Arguments& arguments, bool largest) {
  const Bound bound(runtime, arguments, {"case_sensitive", "attribute"});
  const auto pairs = keyed(runtime, runtime.items_of(value), bound.has(1) ? &bound[1] : nullptr,
                           bound.flag(0, false));
  if (pairs.empty()) return {Value::Undefined{"the extreme of an empty list"}};
  const std::pair<Value, Value>* best = &pairs.front();
  for (const auto& pair : pairs) {
    const auto order = compare(pair.first, best->first);
    if (!order) return runtime.fail("values that have no order");
    if (largest ? *order > 0 : *order < 0) best = &pair;
  }
  return best->second;
}

}  // namespace

Value list_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.list(runtime.items_of(value));
}

Value join_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"d", "attribute"});
  const MarkedText separator = runtime.printed(bound[0]);
  MarkedText out;
  bool first = true;
  for (const Value& item : runtime.items_of(value)) {
    const MarkedText text = runtime.printed(bound.has(1) ? runtime.path(item, bound[1]) : item);
    if (!runtime.may_make_text(separator.size() + text.size())) return {};
    if (!std::exchange(first, false)) out.append(separator);
    out.append(text);
  }
  return make_text(std::move(out));
}

Value map_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  std::vector<Value> items;
  Arguments rest = arguments;
  const std::optional<Value> name = take_first(rest);
  if (!name) {
    const Bound bound(runtime, arguments, {"attribute", "default"});
    for (const Value& item : runtime.items_of(value)) {
      Value mapped = runtime.path(item, bound[0]);
      const bool missing = mapped.is<Value::Undefined>() && bound.has(1);
      items.push_back(missing ? bound[1] : std::move(mapped));
    }
    return runtime.list(std::move(items), ListKind::kGenerator);
  }
  const Filter* filter = find_filter(runtime.printed(*name).flat());
  if (filter == nullptr) {
    return runtime.fail(str("the filter ", runtime.printed(*name).flat(), " is not supported"));
  }
  for (const Value& item : runtime.items_of(value)) {
    items.push_back(filter->apply(runtime, item, rest));
    runtime.count_step();
    if (!runtime.ok()) return {};
  }
  return runtime.list(std::move(items), ListKind::kGenerator);
}

Value select_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return filtered(runtime, value, arguments, false, true);
}

Value reject_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return filtered(runtime, value, arguments, false, false);
}

Value selectattr_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return filtered(runtime, value, arguments, true, true);
}

Value rejectattr_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return filtered(runtime, value, arguments, true, false);
}

Value items_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  if (value.is<Value::Undefined>()) return runtime.list({}, ListKind::kGenerator);
  const auto* dict = value.as<Value::Dict>();
  if (dict == nullptr) return runtime.fail("items needs a mapping");
  std::vector<Value> items;
  for (const DictItem& item : (*dict)->items) {
    items.push_back(
        make_list({make_text(item.key, item.key_from_user), item.value}, ListKind::kTuple));
  }
  return runtime.list(std::move(items), ListKind::kGenerator);
}

Value dictsort_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"case_sensitive", "by", "reverse"});
  const auto* dict = value.as<Value::Dict>();
  if (dict == nullptr) return runtime.fail("dictsort needs a mapping");
  const Value at = Value{int64_t{bound.text(1, "key") == "key" ? 0 : 1}};
  const Value pairs = items_filter(runtime, value, {});
  return sorted(runtime, keyed(runtime, runtime.items_of(pairs), &at, bound.flag(0, false)),
                bound.flag(2, false));
}

Value sort_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"reverse", "case_sensitive", "attribute"});
  const bool by_attribute = bound.has(2) && !bound[2].is<Value::None>();
  return sorted(runtime,
                keyed(runtime, runtime.items_of(value), by_attribute ? &bound[2] : nullptr,
                      bound.flag(1, false)),
                bound.flag(0, false));
}

Value unique_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"case_sensitive", "attribute"});
  std::set<std::string> seen;  // by what repr() makes of them, which tells all apart
  std::vector<Value> items;
  for (auto& [key, item] : keyed(runtime, runtime.items_of(value),
                                 bound.has(1) ? &bound[1] : nullptr, bound.flag(0, false))) {
    MarkedText text;
    append_repr(key, text);
    if (!runtime.may_make_text(text.size())) return {};
    if (seen.insert(text.flat()).second) items.push_back(std::move(item));
  }
  return runtime.list(std::move(items), ListKind::kGenerator);
}

Value reverse_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  std::vector<Value> items = runtime.items_of(value);
  std::reverse(items.begin(), items.end());
  if (!value.is<Value::Text>()) return runtime.list(std::move(items), ListKind::kGenerator);
  MarkedText out;
  for (const Value& item : items) out.append(**item.as<Value::Text>());
  return runtime.text(std::move(out));
}

Value sum_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"attribute", "start"});
  const bool by_attribute = bound.has(0) && !bound[0].is<Value::None>();
  Value sum = bound.has(1) ? bound[1] : Value{int64_t{0}};
  for (const Value& item : runtime.items_of(value)) {
    sum = binary(runtime, "+", sum, by_attribute ? runtime.path(item, bound[0]) : item);
    if (!runtime.ok()) return {};
  }
  return sum;
}

Value min_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return extreme(runtime, value, arguments, false);
}

Value max_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return extreme(runtime, value, arguments, true);
}

Value first_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  const std::vector<Value> items = runtime.items_of(value);
  return items.empty() ? Value{Value::Undefined{"the first of an empty list"}} : items.front();
}

Value last_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  const std::vector<Value> items = runtime.items_of(value);
  return items.empty() ? Value{Value::Undefined{"the last of an empty list"}} : items.back();
}

}  // namespace sluice::jinja
