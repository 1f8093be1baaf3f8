// GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the others for U+0100 upwards.
#include <array>
#include <cstdint>

#include "server/text/hf/hf_tokenizer.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// The code point of each byte.
constexpr std::array<uint16_t, 256> make_letters() {
  std::array<uint16_t, 256> letters{};
  uint16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    letters[static_cast<size_t>(byte)] = is_printable(byte) ? static_cast<uint16_t>(byte) : next++;
  }
  return letters;
}

constexpr std::array<uint16_t, 256> kLetters = make_letters();

// The byte of each code point; -1: none.
constexpr std::array<int16_t, 0x144> make_bytes() {
  std::array<int16_t, 0x144> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  for (size_t byte = 0; byte < 256; ++byte) bytes[kLetters[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

constexpr std::array<int16_t, 0x144> kBytes = make_bytes();

}  // namespace

std::string to_byte_letters(std::string_view bytes) {
  std::string letters;
  for (const char c : bytes) {
    const uint16_t code = kLetters[static_cast<uint8_t>(c)];
    if (code < 0x80) {
      letters += static_cast<char>(code);
    } else {
      letters += static_cast<char>(0xC0 | (code >> 6));
      letters += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return letters;
}

std::optional<std::string> from_byte_letters(std::string_view letters) {
  std::string bytes;
  while (!letters.empty()) {
    const Utf8Step step = utf8_step(letters);
    if (step.kind != Utf8Step::Kind::kValid || step.length > 2) return std::nullopt;
    const auto lead = static_cast<uint8_t>(letters[0]);
    const uint32_t code =
        step.length == 1 ? lead : (lead & 0x1FU) << 6 | (static_cast<uint8_t>(letters[1]) & 0x3FU);
    if (code >= kBytes.size() || kBytes[code] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[code]);
    letters.remove_prefix(step.length);
  }
  return bytes;
}

}  // namespace sluice
