// What must hold of a SentencePiece file before SentencePiece itself may read it: the library
// trusts its files, and a crafted normaliser table makes it read out of bounds.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace sluice {

inline constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;
inline constexpr int kMaxPieces = 1 << 21;
inline constexpr size_t kMaxPieceBytes = 8000;

// The normaliser's compiled character map (may be empty: no map):
//
//   | trie size t, 4 bytes LE | trie: t/4 units of 4 bytes LE | replacement texts, NUL-terminated |
//
// A unit with its top bit set is a leaf: the offset of a text. Any other unit points to a group of
// 256 children; every such group must lie inside the trie.
Status check_charsmap(std::string_view blob);

// A vocabulary entry: not empty, of bounded length, UTF-8 without NUL, with a finite score.
Status check_piece(int id, std::string_view piece, float score);

}  // namespace sluice
