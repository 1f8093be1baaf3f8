// PrefixCache: hashing and the chains.
#include "kvcache/prefix_cache.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/mix.h"

namespace sluice {
namespace {

uint64_t hash_of(uint64_t parent, uint64_t salt, PrefixCache::BlockTokens tokens) {
  uint64_t hash = mix64(parent + kGoldenGamma) ^ mix64(salt);
  for (size_t i = 0; i < tokens.size(); i += 2) {
    const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(tokens[i])) << 32 |
                          static_cast<uint32_t>(tokens[i + 1]);
    hash = mix64(hash ^ pair) + kGoldenGamma;
  }
  return hash;
}

}  // namespace

PrefixCache::PrefixCache(int num_blocks)
    : entries_(static_cast<size_t>(num_blocks)),
      buckets_(std::bit_ceil(static_cast<size_t>(num_blocks)), kNoBlock) {}

BlockId PrefixCache::find(uint64_t parent, uint64_t salt, BlockTokens tokens) const {
  const uint64_t hash = hash_of(parent, salt, tokens);
  for (BlockId block = bucket(hash); block != kNoBlock; block = at(block).next) {
    const Entry& entry = at(block);
    if (entry.hash == hash && entry.parent == parent && entry.salt == salt &&
        std::ranges::equal(entry.tokens, tokens)) {
      return block;
    }
  }
  return kNoBlock;
}

uint64_t PrefixCache::insert(BlockId block, uint64_t parent, uint64_t salt, BlockTokens tokens) {
  SLUICE_CHECK(!contains(block));
  Entry& entry = at(block);
  entry.number = ++last_number_;
  entry.parent = parent;
  entry.salt = salt;
  entry.hash = hash_of(parent, salt, tokens);
  std::ranges::copy(tokens, entry.tokens.begin());
  entry.next = bucket(entry.hash);
  bucket(entry.hash) = block;
  return entry.number;
}

void PrefixCache::erase(BlockId block) {
  SLUICE_CHECK(contains(block));
  BlockId* link = &bucket(at(block).hash);
  while (*link != block) {
    SLUICE_CHECK_NE(*link, kNoBlock);
    link = &at(*link).next;
  }
  *link = at(block).next;
  at(block).number = kRoot;
}

bool PrefixCache::holds_tokens(BlockId block, BlockTokens tokens) const {
  return contains(block) && std::ranges::equal(at(block).tokens, tokens);
}

void PrefixCache::check_invariants() const {
  size_t chained = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    for (BlockId block = buckets_[i]; block != kNoBlock; block = at(block).next) {
      const Entry& entry = at(block);
      SLUICE_CHECK(contains(block));
      SLUICE_CHECK_EQ(entry.hash & (buckets_.size() - 1), i);
      SLUICE_CHECK_EQ(entry.hash, hash_of(entry.parent, entry.salt, entry.tokens));
      SLUICE_CHECK_LE(entry.number, last_number_);
      SLUICE_CHECK_LT(entry.parent, entry.number);
      SLUICE_CHECK_LE(++chained, entries_.size());
    }
  }
  size_t present = 0;
  for (const Entry& entry : entries_) present += entry.number != kRoot ? 1 : 0;
  SLUICE_CHECK_EQ(present, chained);
}

}  // namespace sluice
