// Building a TokenTrie.
#include "server/text/hf/token_trie.h"

#include <utility>

#include "base/check.h"

namespace sluice {

void TokenTrie::add(std::string_view text, TokenId id) {
  SLUICE_CHECK(!text.empty());
  uint32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back(kNone);
      if (node == 0) {
        roots_[byte] = next;
      } else {
        if (++num_edges_ * 2 > slots_.size()) grow();
        const uint64_t edge = uint64_t{node} << 8 | byte;
        slots_[slot_of(edge)] = {edge, next};
      }
    }
    node = next;
  }
  nodes_[node] = id;
}

void TokenTrie::grow() {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  for (const Slot& slot : old) {
    if (slot.child != 0) slots_[slot_of(slot.edge)] = slot;
  }
}

}  // namespace sluice
