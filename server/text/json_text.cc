// JSON text: escaping with UTF-8 repair, and numbers.
#include "server/text/json_text.h"

#include <charconv>
#include <cmath>

#include "server/text/utf8.h"

namespace sluice {
namespace {

bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

void append_escape(std::string* out, unsigned char c) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      out->append("\\u00");
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
  }
}

}  // namespace

void append_json_escaped(std::string* out, std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i;
    while (end < text.size() && is_plain(static_cast<unsigned char>(text[end]))) ++end;
    out->append(text.substr(i, end - i));
    i = end;
    if (i == text.size()) return;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      append_escape(out, c);
      ++i;
      continue;
    }
    const Utf8Step step = utf8_step(text.substr(i));
    out->append(step.kind == Utf8Step::Kind::kValid ? text.substr(i, step.length)
                                                    : kReplacementCharacter);
    i += step.length;
  }
}

void append_json_string(std::string* out, std::string_view text) {
  out->push_back('"');
  append_json_escaped(out, text);
  out->push_back('"');
}

void append_json(std::string* out, int64_t value) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out->append(buffer, end.ptr);
}

void append_json(std::string* out, float value) {
  if (!std::isfinite(value)) {
    out->append("-9999.0");
    return;
  }
  char buffer[48];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out->append(buffer, end.ptr);
}

}  // namespace sluice
