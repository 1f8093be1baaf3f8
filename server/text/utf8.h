// UTF-8: the borders of code points in bytes that may be anything. (RFC 3629; "maximal subpart" as
// in the Unicode Standard, chapter 3, and the WHATWG decoder.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the start of some bytes.
struct Utf8Step {
  enum class Kind {
    kValid,       // a code point of `length` bytes
    kInvalid,     // `length` >= 1 bytes that no continuation can mend: one U+FFFD
    kIncomplete,  // all bytes (`length` <= 3) begin a code point whose end is missing
  };
  Kind kind;
  size_t length;
};

// `bytes` must not be empty. Surrogates, overlong forms and values past U+10FFFF are invalid.
Utf8Step utf8_step(std::string_view bytes);

// Offset of the first byte that makes `bytes` no UTF-8 (a code point cut off at the end included).
std::optional<size_t> find_invalid_utf8(std::string_view bytes);

// `bytes` with each maximal invalid part replaced by U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

// Appends a code point; surrogates and values past U+10FFFF become U+FFFD.
void append_utf8(std::string& text, uint32_t code);

}  // namespace sluice
