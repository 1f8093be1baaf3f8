// Writing JSON with marks.
#include "server/text/jinja/json_writer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/text.h"
#include "server/text/hf/unicode.h"

namespace sluice::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value) {
    if (!runtime_.ok()) return;
    if (value.is<Value::None>()) return put("null");
    if (const bool* flag = value.as<bool>()) return put(*flag ? "true" : "false");
    if (const int64_t* number = value.as<int64_t>()) return put(str(*number));
    if (const double* number = value.as<double>()) return put(number_text(*number));
    if (const auto* text = value.as<Value::Text>()) return write_text(**text);
    if (const auto* list = value.as<Value::List>()) return write_list(**list);
    if (const auto* dict = value.as<Value::Dict>()) return write_dict(**dict);
    runtime_.fail(str("tojson of a value of type ", type_name(value)));
  }
  MarkedText take() { return std::move(out_); }

 private:
  void put(std::string_view text) { out_.append(text, false); }

  static std::string number_text(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return float_text(number);
  }

  void new_line() {
    if (style_.indent < 0) return;
    const auto width = static_cast<size_t>(style_.indent) * static_cast<size_t>(level_);
    if (!runtime_.may_make_text(width)) return;
    put("\n");
    put(std::string(width, ' '));
  }

  void write_list(const ListData& list) {
    if (list.items.empty()) return put("[]");
    put("[");
    ++level_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) put(style_.between);
      new_line();
      write(list.items[i]);
    }
    --level_;
    new_line();
    put("]");
  }

  void write_dict(const DictData& dict) {
    if (dict.items.empty()) return put("{}");
    std::vector<const DictItem*> items;
    for (const DictItem& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      std::sort(items.begin(), items.end(),
                [](const DictItem* a, const DictItem* b) { return a->key < b->key; });
    }
    put("{");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) put(style_.between);
      new_line();
      write_text(MarkedText(items[i]->key, items[i]->key_from_user));
      put(style_.behind_key);
      write(items[i]->value);
    }
    --level_;
    new_line();
    put("}");
  }

  void write_text(const MarkedText& text) {
    if (!runtime_.may_make_text(text.size())) return;
    put("\"");
    for (const MarkedText::Span& span : text.spans()) {
      out_.append(escaped(span.text), span.from_user);
    }
    put("\"");
  }

  static void append_unit(std::string& out, uint32_t unit) {
    static constexpr std::string_view kHex = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(unit >> shift) & 15];
  }

  std::string escaped(std::string_view text) const {
    static constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t";
    static constexpr std::string_view kLetters = "\"\\bfnrt";
    std::string result;
    while (!text.empty()) {
      const size_t size = code_point_offset(text, 1);
      const size_t found = kSpecial.find(text[0]);
      const auto byte = static_cast<uint8_t>(text[0]);
      if (found != std::string_view::npos) {
        result += '\\';
        result += kLetters[found];
      } else if (byte < 0x20) {
        append_unit(result, byte);
      } else if (byte < 0x80 || !style_.ascii) {
        result += text.substr(0, size);
      } else {
        const uint32_t code = code_point_at(text);
        if (code >= 0x10000) append_unit(result, 0xD7C0 + (code >> 10));
        append_unit(result, code >= 0x10000 ? 0xDC00 + (code & 0x3FF) : code);
      }
      text.remove_prefix(size);
    }
    return result;
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  MarkedText out_;
  int level_ = 0;
};

}  // namespace

MarkedText to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value);
  return writer.take();
}

}  // namespace sluice::jinja
