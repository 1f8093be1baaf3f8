// Checks of hostile SentencePiece files, on plain bytes.
#include "server/text/sentencepiece_check.h"

#include <cmath>
#include <cstdint>

#include "base/text.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

uint32_t read_le32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  }
  return value;
}

}  // namespace

Status check_charsmap(std::string_view blob) {
  if (blob.empty()) return {};
  if (blob.size() < 4) return invalid_argument("the normaliser's table is cut off");
  const size_t trie_bytes = read_le32(blob, 0);
  if (trie_bytes == 0 || trie_bytes % 1024 != 0 || trie_bytes >= blob.size() - 4) {
    return invalid_argument(str("the normaliser's trie claims ", trie_bytes, " of ", blob.size(),
                                " bytes; it must be a multiple of 1024 and leave room for text"));
  }
  if (blob.back() != '\0') {
    return invalid_argument("the normaliser's last text is not terminated");
  }
  const size_t num_units = trie_bytes / 4;
  const size_t text_bytes = blob.size() - 4 - trie_bytes;
  for (size_t i = 0; i < num_units; ++i) {
    const uint32_t unit = read_le32(blob, 4 + 4 * i);
    const uint32_t value = unit & 0x7fffffffU;
    if ((unit >> 31) != 0) {
      if (value >= text_bytes) {
        return invalid_argument(
            str("normaliser unit ", i, " names text ", value, " of ", text_bytes, " bytes"));
      }
      continue;
    }
    // A double-array unit: the offset of its children, scaled by 256 where bit 9 is set.
    const size_t offset = size_t{unit >> 10} << ((unit & 512U) >> 6);
    if (((i ^ offset) | 255U) >= num_units) {
      return invalid_argument(
          str("normaliser unit ", i, " points outside its trie of ", num_units, " units"));
    }
  }
  return {};
}

Status check_piece(int id, std::string_view piece, float score) {
  if (piece.empty() || piece.size() >= kMaxPieceBytes) {
    return invalid_argument(
        str("piece ", id, " has ", piece.size(), " bytes; it must have 1 to ", kMaxPieceBytes - 1));
  }
  if (piece.find('\0') != std::string_view::npos || find_invalid_utf8(piece)) {
    return invalid_argument(str("piece ", id, " is no UTF-8 text"));
  }
  if (!std::isfinite(score)) return invalid_argument(str("piece ", id, " has the score ", score));
  return {};
}

}  // namespace sluice
