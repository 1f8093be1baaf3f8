// Filters keep the marks of the text that they pass on.
#include "server/text/jinja/filters.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/text.h"
#include "server/text/utf8.h"

namespace sluice::jinja {
namespace {

// What Python's str.strip() removes, as UTF-8.
constexpr std::array<std::string_view, 29> kStripped = {" ",
                                                        "\t",
                                                        "\n",
                                                        "\v",
                                                        "\f",
                                                        "\r",
                                                        "\x1C",
                                                        "\x1D",
                                                        "\x1E",
                                                        "\x1F",
                                                        "\xC2\x85",
                                                        "\xC2\xA0",
                                                        "\xE1\x9A\x80",
                                                        "\xE2\x80\x80",
                                                        "\xE2\x80\x81",
                                                        "\xE2\x80\x82",
                                                        "\xE2\x80\x83",
                                                        "\xE2\x80\x84",
                                                        "\xE2\x80\x85",
                                                        "\xE2\x80\x86",
                                                        "\xE2\x80\x87",
                                                        "\xE2\x80\x88",
                                                        "\xE2\x80\x89",
                                                        "\xE2\x80\x8A",
                                                        "\xE2\x80\xA8",
                                                        "\xE2\x80\xA9",
                                                        "\xE2\x80\xAF",
                                                        "\xE2\x81\x9F",
                                                        "\xE3\x80\x80"};

size_t leading_space(std::string_view text) {
  size_t size = 0;
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view space : kStripped) {
      if (!text.substr(size).starts_with(space)) continue;
      size += space.size();
      found = true;
      break;
    }
  }
  return size;
}

size_t trailing_space(std::string_view text) {
  size_t size = 0;
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view space : kStripped) {
      if (!text.substr(0, text.size() - size).ends_with(space)) continue;
      size += space.size();
      found = true;
      break;
    }
  }
  return size;
}

Result<Value> trim(const Value& value, const std::vector<Value>& /*arguments*/) {
  const auto* text = value.as<Value::Text>();
  if (text == nullptr) return invalid_argument(str("trim needs a string, not ", type_name(value)));
  const auto& spans = (*text)->spans();
  size_t first = 0, last = spans.size();
  while (first < last && leading_space(spans[first].text) == spans[first].text.size()) ++first;
  while (last > first && trailing_space(spans[last - 1].text) == spans[last - 1].text.size()) {
    --last;
  }
  MarkedText trimmed;
  for (size_t i = first; i < last; ++i) {
    std::string_view part = spans[i].text;
    if (i == first) part.remove_prefix(leading_space(part));
    if (i == last - 1) part.remove_suffix(trailing_space(part));
    trimmed.append(part, spans[i].from_user);
  }
  return make_text(std::move(trimmed));
}

// JSON as Python's json.dumps(ensure_ascii=False) writes it. The depth of values is bounded by
// whoever parsed them.
class JsonWriter {
 public:
  void write(const Value& value) {
    if (value.as<Value::None>() != nullptr) return out_.append("null", false);
    if (const bool* flag = value.as<bool>()) return out_.append(*flag ? "true" : "false", false);
    if (const int64_t* number = value.as<int64_t>()) return out_.append(str(*number), false);
    if (const auto* text = value.as<Value::Text>()) return write_text(**text);
    if (const auto* list = value.as<Value::List>()) return write_list(**list);
    if (const auto* dict = value.as<Value::Dict>()) return write_dict(**dict);
    has_undefined_ = true;
  }
  bool has_undefined() const { return has_undefined_; }
  MarkedText take() { return std::move(out_); }

 private:
  void write_text(const MarkedText& text) {
    out_.append("\"", false);
    for (const MarkedText::Span& span : text.spans())
      out_.append(escaped(span.text), span.from_user);
    out_.append("\"", false);
  }
  void write_list(const std::vector<Value>& list) {
    const char* separator = "[";
    for (const Value& item : list) {
      out_.append(separator, false);
      write(item);
      separator = ", ";
    }
    out_.append(list.empty() ? "[]" : "]", false);
  }
  void write_dict(const std::vector<std::pair<std::string, Value>>& dict) {
    const char* separator = "{";
    for (const auto& [key, item] : dict) {
      out_.append(separator, false);
      write_text(MarkedText(key, false));
      out_.append(": ", false);
      write(item);
      separator = ", ";
    }
    out_.append(dict.empty() ? "{}" : "}", false);
  }
  static std::string escaped(std::string_view text) {
    static constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t";
    static constexpr std::string_view kLetters = "\"\\bfnrt";
    static constexpr std::string_view kHex = "0123456789abcdef";
    std::string result;
    for (const char c : text) {
      const auto byte = static_cast<uint8_t>(c);
      if (const size_t found = kSpecial.find(c); found != std::string_view::npos) {
        result += '\\';
        result += kLetters[found];
      } else if (byte < 0x20) {
        result += "\\u00";
        result += kHex[byte >> 4];
        result += kHex[byte & 15];
      } else {
        result += c;
      }
    }
    return result;
  }

  MarkedText out_;
  bool has_undefined_ = false;
};

Result<Value> to_json(const Value& value, const std::vector<Value>& /*arguments*/) {
  JsonWriter writer;
  writer.write(value);
  if (writer.has_undefined()) return invalid_argument("tojson of an undefined value");
  return make_text(writer.take());
}

int64_t code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

Result<Value> length(const Value& value, const std::vector<Value>& /*arguments*/) {
  if (const auto* text = value.as<Value::Text>()) {
    int64_t count = 0;
    for (const MarkedText::Span& span : (*text)->spans()) count += code_points(span.text);
    return Value{count};
  }
  if (const auto* list = value.as<Value::List>()) return Value{int64_t((*list)->size())};
  if (const auto* dict = value.as<Value::Dict>()) return Value{int64_t((*dict)->size())};
  if (value.as<Value::Undefined>() != nullptr) return Value{int64_t{0}};
  return invalid_argument(str("length needs a string, list or mapping, not ", type_name(value)));
}

Result<Value> end_of(const Value& value, const char* filter, bool first) {
  const auto* list = value.as<Value::List>();
  if (list == nullptr) {
    return invalid_argument(str(filter, " needs a list, not ", type_name(value)));
  }
  if ((*list)->empty()) return Value{Value::Undefined{str(filter, " of an empty list")}};
  return first ? (*list)->front() : (*list)->back();
}

Result<Value> first(const Value& value, const std::vector<Value>& /*arguments*/) {
  return end_of(value, "first", true);
}

Result<Value> last(const Value& value, const std::vector<Value>& /*arguments*/) {
  return end_of(value, "last", false);
}

// default(fallback = "", also_if_false = false)
Result<Value> or_default(const Value& value, const std::vector<Value>& arguments) {
  const bool also_if_false = arguments.size() > 1 && truthy(arguments[1]);
  const bool use_default =
      value.as<Value::Undefined>() != nullptr || (also_if_false && !truthy(value));
  if (!use_default) return value;
  return arguments.empty() ? make_text("", false) : arguments[0];
}

constexpr std::array<Filter, 6> kFilters = {{{"default", 2, or_default},
                                             {"first", 0, first},
                                             {"last", 0, last},
                                             {"length", 0, length},
                                             {"tojson", 0, to_json},
                                             {"trim", 0, trim}}};

template <typename T>
bool is(const Value& value) {
  return value.as<T>() != nullptr;
}

constexpr std::array<Test, 7> kTests = {
    {{"defined", [](const Value& value) { return !is<Value::Undefined>(value); }},
     {"undefined", is<Value::Undefined>},
     {"none", is<Value::None>},
     {"boolean", is<bool>},
     {"integer", is<int64_t>},
     {"string", is<Value::Text>},
     {"mapping", is<Value::Dict>}}};

}  // namespace

const Filter* find_filter(std::string_view name) {
  const auto found = std::find_if(kFilters.begin(), kFilters.end(),
                                  [&](const Filter& filter) { return filter.name == name; });
  return found == kFilters.end() ? nullptr : &*found;
}

const Test* find_test(std::string_view name) {
  const auto found = std::find_if(kTests.begin(), kTests.end(),
                                  [&](const Test& test) { return test.name == name; });
  return found == kTests.end() ? nullptr : &*found;
}

}  // namespace sluice::jinja
