// Filters of texts and numbers, and the table of all. They keep the marks of the text they pass on.
#include "server/text/jinja/filters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "server/text/hf/unicode.h"
#include "server/text/jinja/json_writer.h"
#include "server/text/jinja/operators.h"
#include "server/text/jinja/text_ops.h"

namespace sluice::jinja {
namespace {

Value trim(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"chars"});
  const bool given = bound.has(0) && !bound[0].is<Value::None>();
  return runtime.text(strip(runtime.printed(value), given ? bound.text(0, "") : "", Ends::kBoth));
}

Value upper(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(
      runtime.printed(value).map([](const std::string& text) { return to_upper(text); }));
}

Value lower(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(
      runtime.printed(value).map([](const std::string& text) { return to_lower(text); }));
}

Value capitalize_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(capitalize(runtime.printed(value)));
}

// Words end at white space, hyphens and opening brackets, not at apostrophes.
Value title_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(title(runtime.printed(value), [](std::string_view c) {
    return is_python_space(c) ||
           (c.size() == 1 && std::string_view("-({[<").find(c[0]) != std::string_view::npos);
  }));
}

Value replace_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"old", "new", "count"});
  const std::string from = runtime.printed(bound[0]).flat();
  if (from.empty()) return runtime.fail("replace of an empty string");
  return replace(runtime, runtime.printed(value), from, runtime.printed(bound[1]),
                 bound[2].is<Value::None>() ? -1 : bound.integer(2, -1));
}

Value indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"width", "first", "blank"});
  const bool by_text = bound[0].is<Value::Text>();
  const int64_t width = by_text ? 0 : bound.integer(0, 4);
  const auto spaces = static_cast<size_t>(std::max<int64_t>(width, 0));
  if (!runtime.may_make_text(spaces)) return {};
  const MarkedText prefix =
      by_text ? **bound[0].as<Value::Text>() : MarkedText(std::string(spaces, ' '), false);
  MarkedText whole = runtime.printed(value);
  whole.append("\n", false);
  MarkedText out;
  bool first = true;
  for (const MarkedText& line : split_lines(whole, /*keep_ends=*/false)) {
    if (!runtime.may_make_text(prefix.size() + line.size())) return {};
    if (!first) out.append("\n", false);
    const bool wanted = first ? bound.flag(1, false) : line.size() > 0 || bound.flag(2, false);
    if (wanted) out.append(prefix);
    out.append(line);
    first = false;
  }
  return make_text(std::move(out));
}

Value to_json_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (bound.has(1) && !bound[1].is<Value::None>()) {
    style.indent = std::max<int64_t>(bound.integer(1, 0), 0);
    style.between.assign(1, ',');
  }
  if (bound.has(2) && !bound[2].is<Value::None>()) {
    const auto* pair = bound[2].as<Value::List>();
    if (pair == nullptr || (*pair)->items.size() != 2) {
      return runtime.fail("separators must be two strings");
    }
    const MarkedText between = runtime.printed((*pair)->items[0]);
    const MarkedText behind_key = runtime.printed((*pair)->items[1]);
    if (between.has_user_text() || behind_key.has_user_text()) {
      return runtime.fail("separators must be the template's own");
    }
    style.between = between.flat();
    style.behind_key = behind_key.flat();
  }
  return runtime.text(to_json(runtime, value, style));
}

Value length(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  if (const auto* text = value.as<Value::Text>()) {
    int64_t count = 0;
    for (const MarkedText::Span& span : (*text)->spans()) count += count_code_points(span.text);
    return Value{count};
  }
  const auto* list = value.as<Value::List>();
  if (list != nullptr && (*list)->kind != ListKind::kGenerator) {
    return Value{static_cast<int64_t>((*list)->items.size())};
  }
  if (const auto* dict = value.as<Value::Dict>()) {
    return Value{static_cast<int64_t>((*dict)->items.size())};
  }
  if (value.is<Value::Undefined>()) return Value{int64_t{0}};
  return runtime.fail(str("a value of type ", type_name(value), " has no length"));
}

Value or_default(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"default_value", "boolean"});
  const bool replaced = value.is<Value::Undefined>() || (bound.flag(1, false) && !truthy(value));
  if (!replaced) return value;
  return bound.has(0) ? bound[0] : make_text("", false);
}

Value to_string(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(runtime.printed(value));
}

// The whole of a text, spaces at its ends aside, as a number.
template <typename T>
std::optional<T> parse(const Value& value) {
  const auto* text = value.as<Value::Text>();
  if (text == nullptr) return std::nullopt;
  const std::string flat = strip(**text, "", Ends::kBoth).flat();
  const char* begin = flat.data() + (flat.starts_with('+') ? 1 : 0);
  T number{};
  const auto [end, error] = std::from_chars(begin, flat.data() + flat.size(), number);
  if (error != std::errc() || end != flat.data() + flat.size()) return std::nullopt;
  return number;
}

Value to_integer(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"default"});
  const Value fallback = bound.has(0) ? bound[0] : Value{int64_t{0}};
  if (const auto integer = as_integer(value)) return Value{*integer};
  if (const auto integer = parse<int64_t>(value)) return Value{*integer};
  const auto number = value.is<double>() ? as_number(value) : parse<double>(value);
  if (!number || !(std::fabs(*number) < 9e18)) return fallback;
  return Value{static_cast<int64_t>(*number)};
}

Value to_float(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"default"});
  if (const auto number = as_number(value)) return Value{*number};
  if (const auto number = parse<double>(value)) return Value{*number};
  return bound.has(0) ? bound[0] : Value{0.0};
}

Value absolute(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  if (const auto integer = as_integer(value)) {
    return *integer < 0 ? binary(runtime, "-", Value{int64_t{0}}, Value{*integer})
                        : Value{*integer};
  }
  if (const auto number = as_number(value)) return Value{std::fabs(*number)};
  return runtime.fail(str("abs of a value of type ", type_name(value)));
}

Value round_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {"precision", "method"});
  const int64_t precision = std::clamp<int64_t>(bound.integer(0, 0), 0, 15);
  const std::string method = bound.text(1, "common");
  const auto number = as_number(value);
  if (!number) return runtime.fail(str("round of a value of type ", type_name(value)));
  if (as_integer(value) && method == "common") return Value{*as_integer(value)};
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value{std::ceil(*number * scale) / scale};
  if (method == "floor") return Value{std::floor(*number * scale) / scale};
  // As Python rounds: the nearest by the exact value, ties to even.
  std::array<char, 400> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), *number,
                                 std::chars_format::fixed, static_cast<int>(precision));
  double rounded = 0;
  std::from_chars(buffer.data(), end.ptr, rounded);
  return Value{rounded};
}

Value escape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(runtime, arguments, {});
  return runtime.text(runtime.printed(value).map([](const std::string& text) {
    std::string out;
    for (const char c : text) {
      switch (c) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        case '\'':
          out += "&#39;";
          break;
        case '"':
          out += "&#34;";
          break;
        default:
          out += c;
      }
    }
    return out;
  }));
}

Value format_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!arguments.named.empty()) return runtime.fail("format by names is not supported");
  return format_percent(runtime, runtime.printed(value),
                        make_list(arguments.positional, ListKind::kTuple));
}

constexpr std::array<Filter, 38> kFilters = {{{"abs", absolute},
                                              {"capitalize", capitalize_filter},
                                              {"count", length},
                                              {"d", or_default},
                                              {"default", or_default},
                                              {"dictsort", dictsort_filter},
                                              {"e", escape},
                                              {"escape", escape},
                                              {"first", first_filter},
                                              {"float", to_float},
                                              {"format", format_filter},
                                              {"indent", indent},
                                              {"int", to_integer},
                                              {"items", items_filter},
                                              {"join", join_filter},
                                              {"last", last_filter},
                                              {"length", length},
                                              {"list", list_filter},
                                              {"lower", lower},
                                              {"map", map_filter},
                                              {"max", max_filter},
                                              {"min", min_filter},
                                              {"reject", reject_filter},
                                              {"rejectattr", rejectattr_filter},
                                              {"replace", replace_filter},
                                              {"reverse", reverse_filter},
                                              {"round", round_filter},
                                              {"safe", to_string},
                                              {"select", select_filter},
                                              {"selectattr", selectattr_filter},
                                              {"sort", sort_filter},
                                              {"string", to_string},
                                              {"sum", sum_filter},
                                              {"title", title_filter},
                                              {"tojson", to_json_filter},
                                              {"trim", trim},
                                              {"unique", unique_filter},
                                              {"upper", upper}}};

}  // namespace

const Filter* find_filter(std::string_view name) {
  const auto* found = std::find_if(kFilters.begin(), kFilters.end(),
                                   [&](const Filter& filter) { return filter.name == name; });
  return found == kFilters.end() ? nullptr : found;
}

}  // namespace sluice::jinja
