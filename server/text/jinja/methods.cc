// The methods, as tables by type.
#include "server/text/jinja/methods.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/text.h"
#include "server/text/hf/unicode.h"
#include "server/text/jinja/text_ops.h"

namespace sluice::jinja {
namespace {

struct TextMethod {
  std::string_view name;
  Value (*call)(Runtime& runtime, const MarkedText& self, const Arguments& arguments);
};

template <Ends kEnds>
Value strip_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"chars"});
  const bool given = bound.has(0) && !bound[0].is<Value::None>();
  return runtime.text(strip(self, given ? bound.text(0, "") : "", kEnds));
}

template <bool kFromRight>
Value split_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"sep", "maxsplit"});
  const bool given = bound.has(0) && !bound[0].is<Value::None>();
  const std::string separator = given ? bound.text(0, "") : "";
  if (given && separator.empty()) return runtime.fail("split at an empty separator");
  if (!runtime.may_make_text(self.size())) return {};
  std::vector<Value> parts;
  for (MarkedText& part : split(self, separator, bound.integer(1, -1), kFromRight)) {
    parts.push_back(make_text(std::move(part)));
  }
  return runtime.list(std::move(parts));
}

Value split_lines_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"keepends"});
  if (!runtime.may_make_text(self.size())) return {};
  std::vector<Value> lines;
  for (MarkedText& line : split_lines(self, bound.flag(0, false))) {
    lines.push_back(make_text(std::move(line)));
  }
  return runtime.list(std::move(lines));
}

// One text, or any of a tuple of them.
template <bool kAtStart>
Value affix_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"affix"});
  const std::string flat = self.flat();
  const auto holds = [&](const Value& affix) {
    const auto* text = affix.as<Value::Text>();
    if (text == nullptr) {
      runtime.fail(str("a string is needed, not a value of type ", type_name(affix)));
      return false;
    }
    const std::string wanted = (*text)->flat();
    return kAtStart ? flat.starts_with(wanted) : flat.ends_with(wanted);
  };
  if (const auto* tuple = bound[0].as<Value::List>()) {
    return Value{std::any_of((*tuple)->items.begin(), (*tuple)->items.end(), holds)};
  }
  return Value{holds(bound[0])};
}

template <bool kPrefix>
Value remove_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"affix"});
  const std::string flat = self.flat(), affix = bound.text(0, "");
  if (kPrefix && flat.starts_with(affix)) {
    return runtime.text(self.slice(affix.size(), flat.size()));
  }
  if (!kPrefix && flat.ends_with(affix)) {
    return runtime.text(self.slice(0, flat.size() - affix.size()));
  }
  return runtime.text(self);
}

Value upper_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(self.map([](const std::string& text) { return to_upper(text); }));
}

Value lower_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(self.map([](const std::string& text) { return to_lower(text); }));
}

Value capitalize_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(capitalize(self));
}

Value title_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(title(self, [](std::string_view c) { return !is_letter(c); }));
}

Value replace_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"old", "new", "count"});
  const auto* to = bound[1].as<Value::Text>();
  const std::string from = bound.text(0, "");
  if (from.empty() || to == nullptr)
    return runtime.fail("replace needs two strings, one not empty");
  return replace(runtime, self, from, **to, bound.integer(2, -1));
}

template <bool kFromRight>
Value find_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"sub"});
  const std::string flat = self.flat(), wanted = bound.text(0, "");
  const size_t found = kFromRight ? flat.rfind(wanted) : flat.find(wanted);
  if (found == std::string::npos) return Value{int64_t{-1}};
  return Value{count_code_points(std::string_view(flat).substr(0, found))};
}

Value count_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"sub"});
  const std::string flat = self.flat(), wanted = bound.text(0, "");
  if (wanted.empty()) return Value{count_code_points(flat) + 1};
  int64_t count = 0;
  for (size_t at = flat.find(wanted); at != std::string::npos;
       at = flat.find(wanted, at + wanted.size())) {
    ++count;
  }
  return Value{count};
}

Value join_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"items"});
  MarkedText out;
  bool first = true;
  for (const Value& item : runtime.items_of(bound[0])) {
    const auto* text = item.as<Value::Text>();
    if (text == nullptr) return runtime.fail("join needs strings");
    if (!runtime.may_make_text(self.size() + (*text)->size())) return {};
    if (!std::exchange(first, false)) out.append(self);
    out.append(**text);
  }
  return make_text(std::move(out));
}

// Not empty, and each character is what `holds` says.
template <bool (*kHolds)(std::string_view)>
Value all_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  const std::string flat = self.flat();
  for (std::string_view rest = flat; !rest.empty();) {
    if (!kHolds(rest.substr(0, code_point_offset(rest, 1)))) return Value{false};
    rest.remove_prefix(code_point_offset(rest, 1));
  }
  return Value{!flat.empty()};
}

// Some character has this case, and none the other.
template <bool kUpper>
Value case_method(Runtime& runtime, const MarkedText& self, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  const std::string flat = self.flat();
  bool some = false;
  for (std::string_view rest = flat; !rest.empty();) {
    if (kUpper ? is_lower(rest) : is_upper(rest)) return Value{false};
    some = some || (kUpper ? is_upper(rest) : is_lower(rest));
    rest.remove_prefix(code_point_offset(rest, 1));
  }
  return Value{some};
}

bool is_letter_or_digit(std::string_view c) { return is_letter(c) || is_digit(c); }

constexpr std::array<TextMethod, 25> kTextMethods = {{
    {"capitalize", capitalize_method},
    {"count", count_method},
    {"endswith", affix_method<false>},
    {"find", find_method<false>},
    {"isalnum", all_method<is_letter_or_digit>},
    {"isalpha", all_method<is_letter>},
    {"isdigit", all_method<is_digit>},
    {"islower", case_method<false>},
    {"isspace", all_method<is_python_space>},
    {"isupper", case_method<true>},
    {"join", join_method},
    {"lower", lower_method},
    {"lstrip", strip_method<Ends::kLeft>},
    {"removeprefix", remove_method<true>},
    {"removesuffix", remove_method<false>},
    {"replace", replace_method},
    {"rfind", find_method<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<Ends::kRight>},
    {"split", split_method<false>},
    {"splitlines", split_lines_method},
    {"startswith", affix_method<true>},
    {"strip", strip_method<Ends::kBoth>},
    {"title", title_method},
    {"upper", upper_method},
}};

const TextMethod* find_text_method(std::string_view name) {
  const auto* found = std::find_if(kTextMethods.begin(), kTextMethods.end(),
                                   [&](const TextMethod& method) { return method.name == name; });
  return found == kTextMethods.end() ? nullptr : found;
}

constexpr std::array<std::string_view, 11> kDictMethods = {
    "get",      "items", "keys",    "values",     "clear", "copy",
    "fromkeys", "pop",   "popitem", "setdefault", "update"};
constexpr std::array<std::string_view, 11> kListMethods = {"index",  "count",   "append", "clear",
                                                           "copy",   "extend",  "insert", "pop",
                                                           "remove", "reverse", "sort"};

template <typename Names>
bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Value call_dict(Runtime& runtime, const DictData& dict, const std::string& name,
                const Arguments& arguments) {
  if (name == "get") {
    const Bound bound(runtime, arguments, {"key", "default"});
    const auto* key = bound[0].as<Value::Text>();
    const Value* item = key == nullptr ? nullptr : find(dict, (*key)->flat());
    if (item != nullptr) return *item;
    return bound.has(1) ? bound[1] : Value{Value::None{}};
  }
  const Bound bound(runtime, arguments, {});
  std::vector<Value> items;
  for (const DictItem& item : dict.items) {
    const Value key = make_text(item.key, item.key_from_user);
    if (name == "items") {
      items.push_back(make_list({key, item.value}, ListKind::kTuple));
    } else {
      items.push_back(name == "keys" ? key : item.value);
    }
  }
  return runtime.list(std::move(items));
}

Value call_list(Runtime& runtime, const ListData& list, const std::string& name,
                const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"value"});
  const auto& items = list.items;
  const auto same = [&](const Value& item) { return equal(item, bound[0]); };
  if (name == "count") return Value{int64_t{std::count_if(items.begin(), items.end(), same)}};
  const auto found = std::find_if(items.begin(), items.end(), same);
  if (found == items.end()) return runtime.fail("the value is not in the list");
  return Value{int64_t{found - items.begin()}};
}

Value call_cycle(Runtime& runtime, const LoopData& loop, const Arguments& arguments) {
  if (arguments.positional.empty()) return runtime.fail("cycle needs values");
  return arguments.positional[loop.index % arguments.positional.size()];
}

}  // namespace

bool is_method(const Value& object, const std::string& name) {
  if (object.is<Value::Text>()) return find_text_method(name) != nullptr;
  if (object.is<Value::Dict>()) return has(kDictMethods, name);
  if (object.is<Value::List>()) return has(kListMethods, name);
  return object.is<Value::Loop>() && name == "cycle";
}

Value call_method(Runtime& runtime, const Value& object, const std::string& name,
                  const Arguments& arguments) {
  if (const auto* text = object.as<Value::Text>()) {
    return find_text_method(name)->call(runtime, **text, arguments);
  }
  const auto* dict = object.as<Value::Dict>();
  if (dict != nullptr && has(std::span(kDictMethods).first(4), name)) {
    return call_dict(runtime, **dict, name, arguments);
  }
  const auto* list = object.as<Value::List>();
  if (list != nullptr && has(std::span(kListMethods).first(2), name)) {
    return call_list(runtime, **list, name, arguments);
  }
  if (const auto* loop = object.as<Value::Loop>()) {
    return call_cycle(runtime, **loop, arguments);
  }
  return runtime.fail(str("the method .", name, "() is not supported: values cannot be changed"));
}

}  // namespace sluice::jinja
