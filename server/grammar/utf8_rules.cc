// can_stand_in_utf8.
#include "server/grammar/utf8_rules.h"

#include <cstddef>

namespace sluice {
namespace {

constexpr size_t kMostContinuations = 3;  // of one code point

bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Bytes after the lead; none for a byte that leads nothing.
std::optional<size_t> continuations_after(uint8_t lead) {
  if (lead < 0x80) return 0;
  if (lead >= 0xC2 && lead <= 0xDF) return 1;
  if (lead >= 0xE0 && lead <= 0xEF) return 2;
  if (lead >= 0xF0 && lead <= 0xF4) return 3;
  return std::nullopt;
}

bool may_be_second(uint8_t lead, uint8_t byte) {
  for (const SecondByteRange& range : kSecondByteRanges) {
    if (range.lead == lead) return byte >= range.low && byte <= range.high;
  }
  return is_continuation(byte);
}

}  // namespace

bool can_stand_in_utf8(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  size_t i = 0;
  while (i < bytes.size() && is_continuation(at(i))) ++i;
  if (i > kMostContinuations) return false;
  while (i < bytes.size()) {
    const uint8_t lead = at(i++);
    const std::optional<size_t> count = continuations_after(lead);
    if (!count) return false;
    for (size_t k = 0; k < *count && i < bytes.size(); ++k, ++i) {
      if (k == 0 ? !may_be_second(lead, at(i)) : !is_continuation(at(i))) return false;
    }
  }
  return true;
}

}  // namespace sluice
