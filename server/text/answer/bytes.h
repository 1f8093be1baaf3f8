// Kinds of bytes that the parsers of answers ask for.
#pragma once

namespace sluice {

constexpr bool is_space_byte(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Letters, digits, '_', '-' and '.': what names of tools are made of.
constexpr bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

}  // namespace sluice
