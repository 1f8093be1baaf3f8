// PrefixCache: finds the block that holds the next 64 tokens after a known prefix.
//
//   prefix number:   0 (the root)        7                 9
//                    | salt, 64 tokens   | 64 tokens       | 64 tokens ..
//   block:           |  12  (number 7)   |  3  (number 9)  |
//
// Every published block gets a number that is never used again; it stands for the whole prefix that
// ends with the block. An entry names its parent's number, so a hit compares 64 tokens, one number
// and the salt, and is exact: hashes only find candidates. Keyed by block id, with intrusive hash
// chains: nothing allocates after construction. Blocks that hold a prefix after its parent was
// evicted are unreachable and age out. The idea of hashing full blocks is vLLM's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace sluice {

class PrefixCache {
 public:
  static constexpr uint64_t kRoot = 0;  // the number of the empty prefix
  using BlockTokens = std::span<const TokenId, kBlockTokens>;

  explicit PrefixCache(int num_blocks);

  // The block that holds `tokens` after the prefix `parent` under `salt`, or kNoBlock.
  BlockId find(uint64_t parent, uint64_t salt, BlockTokens tokens) const;
  // Makes `block` findable and returns its prefix number. CHECKs that it is not there already.
  uint64_t insert(BlockId block, uint64_t parent, uint64_t salt, BlockTokens tokens);
  void erase(BlockId block);  // CHECKs that it is there

  bool contains(BlockId block) const { return at(block).number != kRoot; }
  uint64_t number(BlockId block) const { return at(block).number; }
  bool holds_tokens(BlockId block, BlockTokens tokens) const;

  void check_invariants() const;  // O(blocks)

 private:
  struct Entry {
    uint64_t number = kRoot;  // kRoot: not in the cache
    uint64_t parent = kRoot;
    uint64_t salt = 0;
    uint64_t hash = 0;
    BlockId next = kNoBlock;  // in the chain of its bucket
    std::array<TokenId, kBlockTokens> tokens = {};
  };
  const Entry& at(BlockId block) const { return entries_[static_cast<size_t>(block)]; }
  Entry& at(BlockId block) { return entries_[static_cast<size_t>(block)]; }
  BlockId& bucket(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  BlockId bucket(uint64_t hash) const { return buckets_[hash & (buckets_.size() - 1)]; }

  std::vector<Entry> entries_;    // [num_blocks]
  std::vector<BlockId> buckets_;  // first of each chain; a power of two
  uint64_t last_number_ = kRoot;
};

}  // namespace sluice
