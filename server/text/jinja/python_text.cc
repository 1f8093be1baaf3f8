// Values as Python's repr() writes them.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

#include "base/text.h"
#include "server/text/hf/unicode.h"
#include "server/text/jinja/runtime.h"

namespace sluice::jinja {
namespace {

void append_hex(std::string& out, uint32_t code) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  const int digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
  out += code < 0x100 ? "\\x" : code < 0x10000 ? "\\u" : "\\U";
  for (int i = digits - 1; i >= 0; --i) out += kHex[(code >> (4 * i)) & 15];
}

// One code point inside quotes.
void append_escaped(std::string_view character, char quote, std::string& out) {
  static constexpr std::string_view kSpecial = "\\\n\r\t";
  static constexpr std::string_view kLetters = "\\nrt";
  const size_t found = kSpecial.find(character);
  if (character.size() == 1 && (found != std::string_view::npos || character[0] == quote)) {
    out += '\\';
    out += character[0] == quote ? quote : kLetters[found];
  } else if (is_printable(character)) {
    out += character;
  } else {
    append_hex(out, code_point_at(character));
  }
}

void append_text_repr(const MarkedText& text, MarkedText& out) {
  const std::string flat = text.flat();
  const bool has_single = flat.find('\'') != std::string::npos;
  const bool has_double = flat.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.append(std::string_view(&quote, 1), false);
  for (const MarkedText::Span& span : text.spans()) {
    std::string escaped;
    for (std::string_view rest = span.text; !rest.empty();) {
      const size_t size = code_point_offset(rest, 1);
      append_escaped(rest.substr(0, size), quote, escaped);
      rest.remove_prefix(size);
    }
    out.append(escaped, span.from_user);
  }
  out.append(std::string_view(&quote, 1), false);
}

void append_list_repr(const ListData& list, MarkedText& out) {
  out.append(list.kind == ListKind::kTuple ? "(" : "[", false);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ", false);
    append_repr(list.items[i], out);
  }
  if (list.kind == ListKind::kTuple && list.items.size() == 1) out.append(",", false);
  out.append(list.kind == ListKind::kTuple ? ")" : "]", false);
}

}  // namespace

void append_repr(const Value& value, MarkedText& out) {
  if (const auto* text = value.as<Value::Text>()) return append_text_repr(**text, out);
  if (const auto* list = value.as<Value::List>()) return append_list_repr(**list, out);
  if (const auto* dict = value.as<Value::Dict>()) {
    const char* separator = "{";
    for (const DictItem& item : (*dict)->items) {
      out.append(separator, false);
      append_text_repr(MarkedText(item.key, item.key_from_user), out);
      out.append(": ", false);
      append_repr(item.value, out);
      separator = ", ";
    }
    return out.append((*dict)->items.empty() ? "{}" : "}", false);
  }
  if (const bool* flag = value.as<bool>()) return out.append(*flag ? "True" : "False", false);
  if (const int64_t* number = value.as<int64_t>()) return out.append(str(*number), false);
  if (const double* number = value.as<double>()) return out.append(float_text(*number), false);
  if (value.is<Value::None>()) return out.append("None", false);
  out.append(value.is<Value::Undefined>() ? "Undefined" : type_name(value), false);
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const double size = std::fabs(value);
  const bool exponent = size != 0 && (size < 1e-4 || size >= 1e16);
  std::array<char, 400> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(buffer.data(), end.ptr);
  if (!exponent && text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace sluice::jinja
