// UTF-8 across tokens: which bytes can stand in a valid text, and which may follow a lead byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

// Whether some valid text has these bytes in it; both ends may be parts of a code point.
bool can_stand_in_utf8(std::string_view bytes);

// The lead bytes after which not every continuation byte is valid (The Unicode Standard, table
// 3-7): overlong forms, surrogates and what is beyond U+10FFFF are left out.
struct SecondByteRange {
  uint8_t lead, low, high;
};
inline constexpr SecondByteRange kSecondByteRanges[] = {
    {0xE0, 0xA0, 0xBF}, {0xED, 0x80, 0x9F}, {0xF0, 0x90, 0xBF}, {0xF4, 0x80, 0x8F}};

}  // namespace sluice
