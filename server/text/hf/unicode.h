// Unicode properties and normal forms of text, by utf8proc. The only file that sees the library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// `text`, valid UTF-8, in the normal form. O(n log n), whatever marks it stacks.
// Source: Unicode Standard Annex #15.
std::string to_form(std::string_view text, UnicodeForm form);

// Each code point in lower or upper case, without looking at its neighbours.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

// The first code point of valid UTF-8, not empty; whether it is visible, or a space; a letter; a
// digit; of upper or lower case.
uint32_t code_point_at(std::string_view text);
bool is_printable(std::string_view text);
bool is_letter(std::string_view text);
bool is_digit(std::string_view text);
bool is_upper(std::string_view text);
bool is_lower(std::string_view text);

// Without combining marks (categories Mn, Mc, Me).
std::string without_marks(std::string_view text);

// Bytes of white space (the property) at either end.
size_t leading_spaces(std::string_view text);
size_t trailing_spaces(std::string_view text);

// Whether the first, or last, code point is what patterns call \w.
bool starts_with_word(std::string_view text);
bool ends_with_word(std::string_view text);

}  // namespace sluice
