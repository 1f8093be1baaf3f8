// TokenTrie: which tokens begin at a place of a text.
//
//   "a" -> 1, "ab" -> 2      root -a-> (1) -b-> (2)      edges in one hash table: (node, byte) ->
//   node
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace sluice {

class TokenTrie {
 public:
  TokenTrie() : nodes_(1, kNone), slots_(kInitialSlots) {}

  // A later token of the same text takes the earlier one's place. `text` is not empty.
  void add(std::string_view text, TokenId id);
  bool empty() const { return nodes_.size() == 1; }

  // Calls found(id, length) for each token that `text` begins with, shortest first.
  template <typename Found>
  void for_each_prefix(std::string_view text, const Found& found) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<uint8_t>(text[i]));
      if (node == 0) return;
      if (nodes_[node] != kNone) found(nodes_[node], i + 1);
    }
  }

 private:
  static constexpr TokenId kNone = -1;
  static constexpr size_t kInitialSlots = 64;

  struct Slot {
    uint64_t edge = 0;   // node << 8 | byte
    uint32_t child = 0;  // 0: the slot is free
  };

  size_t slot_of(uint64_t edge) const {
    const uint64_t hash = edge * 0x9E3779B97F4A7C15U;
    size_t at = (hash ^ (hash >> 32)) & (slots_.size() - 1);
    while (slots_[at].child != 0 && slots_[at].edge != edge) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  uint32_t child(uint32_t node, uint8_t byte) const {
    if (node == 0) return roots_[byte];
    return slots_[slot_of(uint64_t{node} << 8 | byte)].child;
  }
  void grow();

  std::array<uint32_t, 256> roots_{};  // children of the root; 0: none
  std::vector<TokenId> nodes_;         // the token that ends at each node
  std::vector<Slot> slots_;            // a power of two, at most half full
  size_t num_edges_ = 0;
};

}  // namespace sluice
