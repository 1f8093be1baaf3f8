// Unicode properties and normal forms, from utf8proc's tables.
#include "server/text/hf/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"

namespace sluice {
namespace {

using CodePoint = utf8proc_int32_t;

// The code point at the start of `text` (valid UTF-8, not empty), and its bytes.
std::pair<CodePoint, size_t> first_of(std::string_view text) {
  CodePoint code = -1;
  const auto size =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size(), 4)), &code);
  SLUICE_CHECK_GT(size, 0);
  return {code, static_cast<size_t>(size)};
}

std::pair<CodePoint, size_t> last_of(std::string_view text) {
  size_t size = 1;
  while (size < 4 && (text[text.size() - size] & 0xC0) == 0x80) ++size;
  return first_of(text.substr(text.size() - size));
}

void append(std::string& text, CodePoint code) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto size = utf8proc_encode_char(code, bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size));
}

bool is_white_space(CodePoint code) {
  return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_word(CodePoint code) {
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9);
  }
}

// Decomposed, and marks of one character in the order of their classes.
std::vector<CodePoint> decompose(std::string_view text, int options) {
  constexpr int kMaxDecomposed = 32;  // code points; the longest is U+FDFA, 18
  std::vector<CodePoint> codes;
  codes.reserve(text.size());
  std::array<CodePoint, kMaxDecomposed> parts{};
  while (!text.empty()) {
    const auto [code, size] = first_of(text);
    text.remove_prefix(size);
    int boundary = 0;
    const auto count = utf8proc_decompose_char(code, parts.data(), kMaxDecomposed,
                                               static_cast<utf8proc_option_t>(options), &boundary);
    SLUICE_CHECK(count >= 0 && count <= kMaxDecomposed);
    codes.insert(codes.end(), parts.begin(), parts.begin() + count);
  }
  // A sort of each run of marks: exchanging neighbours would be quadratic.
  const auto class_of = [](CodePoint code) { return utf8proc_get_property(code)->combining_class; };
  std::vector<std::tuple<int, size_t, CodePoint>> run;  // class, place, mark
  for (size_t at = 0; at < codes.size(); ++at) {
    const size_t begin = at;
    run.clear();
    for (; at < codes.size() && class_of(codes[at]) != 0; ++at) {
      run.emplace_back(class_of(codes[at]), at, codes[at]);
    }
    std::sort(run.begin(), run.end());
    for (size_t i = 0; i < run.size(); ++i) codes[begin + i] = std::get<2>(run[i]);
  }
  return codes;
}

template <typename Change>
std::string map_codes(std::string_view text, const Change& change) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto [code, size] = first_of(text);
    change(code, out);
    text.remove_prefix(size);
  }
  return out;
}

// Nothing below U+0300 (lead byte 0xCC) changes in form C.
bool is_stable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0xCC; });
}

}  // namespace

std::string to_form(std::string_view text, UnicodeForm form) {
  if (form == UnicodeForm::kNfc && is_stable(text)) return std::string(text);
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  const bool composed = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  std::vector<CodePoint> codes =
      decompose(text, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0));
  if (composed) {
    const auto count = utf8proc_normalize_utf32(
        codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    SLUICE_CHECK_GE(count, 0);
    codes.resize(static_cast<size_t>(count));
  }
  std::string out;
  out.reserve(text.size());
  for (const CodePoint code : codes) append(out, code);
  return out;
}

std::string to_lower(std::string_view text) {
  return map_codes(text, [](CodePoint code, std::string& out) {
    append(out, code == 0x130 ? 'i' : utf8proc_tolower(code));
    if (code == 0x130) append(out, 0x307);  // the one letter that becomes two code points
  });
}

std::string to_upper(std::string_view text) {
  return map_codes(text, [](CodePoint code, std::string& out) {
    if (code == 0xDF) {  // the common letter that becomes two
      out += "SS";
    } else {
      append(out, utf8proc_toupper(code));
    }
  });
}

uint32_t code_point_at(std::string_view text) {
  return static_cast<uint32_t>(first_of(text).first);
}

bool is_printable(std::string_view text) {
  const CodePoint code = first_of(text).first;
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

bool is_letter(std::string_view text) {
  const auto category = utf8proc_category(first_of(text).first);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(std::string_view text) {
  return utf8proc_category(first_of(text).first) == UTF8PROC_CATEGORY_ND;
}

bool is_upper(std::string_view text) { return utf8proc_isupper(first_of(text).first) != 0; }
bool is_lower(std::string_view text) { return utf8proc_islower(first_of(text).first) != 0; }

std::string without_marks(std::string_view text) {
  return map_codes(text, [](CodePoint code, std::string& out) {
    const auto category = utf8proc_category(code);
    if (category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME) append(out, code);
  });
}

size_t leading_spaces(std::string_view text) {
  size_t bytes = 0;
  while (bytes < text.size()) {
    const auto [code, size] = first_of(text.substr(bytes));
    if (!is_white_space(code)) break;
    bytes += size;
  }
  return bytes;
}

size_t trailing_spaces(std::string_view text) {
  size_t bytes = 0;
  while (bytes < text.size()) {
    const auto [code, size] = last_of(text.substr(0, text.size() - bytes));
    if (!is_white_space(code)) break;
    bytes += size;
  }
  return bytes;
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(first_of(text).first);
}

bool ends_with_word(std::string_view text) { return !text.empty() && is_word(last_of(text).first); }

}  // namespace sluice
