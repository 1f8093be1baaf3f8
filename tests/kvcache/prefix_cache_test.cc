#include "kvcache/prefix_cache.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/check.h"

namespace sluice {
namespace {

std::vector<TokenId> filled(TokenId token) { return std::vector<TokenId>(kBlockTokens, token); }

PrefixCache::BlockTokens view(const std::vector<TokenId>& tokens) {
  return std::span(tokens).first<kBlockTokens>();
}

TEST(PrefixCache, FindsABlockOnlyAfterItsOwnPrefixAndUnderItsSalt) {
  PrefixCache cache(8);
  const auto a = filled(1);
  const auto b = filled(2);
  const uint64_t after_a = cache.insert(3, PrefixCache::kRoot, 0, view(a));
  const uint64_t after_ab = cache.insert(5, after_a, 0, view(b));
  EXPECT_EQ(cache.find(PrefixCache::kRoot, 0, view(a)), 3);
  EXPECT_EQ(cache.find(after_a, 0, view(b)), 5);
  EXPECT_EQ(cache.find(PrefixCache::kRoot, 0, view(b)), kNoBlock);
  EXPECT_EQ(cache.find(after_ab, 0, view(b)), kNoBlock);
  EXPECT_EQ(cache.find(PrefixCache::kRoot, 7, view(a)), kNoBlock);
  cache.check_invariants();
}

TEST(PrefixCache, ComparesEveryToken) {
  PrefixCache cache(8);
  cache.insert(0, PrefixCache::kRoot, 0, view(filled(1)));
  for (size_t i = 0; i < kBlockTokens; ++i) {
    auto other = filled(1);
    other[i] = 9;
    EXPECT_EQ(cache.find(PrefixCache::kRoot, 0, view(other)), kNoBlock);
    EXPECT_FALSE(cache.holds_tokens(0, view(other)));
  }
}

TEST(PrefixCache, ANewOwnerOfAParentDoesNotInheritItsChildren) {
  PrefixCache cache(4);
  const auto a = filled(1);
  const auto b = filled(2);
  const uint64_t old_number = cache.insert(0, PrefixCache::kRoot, 0, view(a));
  cache.insert(1, old_number, 0, view(b));
  cache.erase(0);
  const uint64_t new_number = cache.insert(0, PrefixCache::kRoot, 0, view(filled(3)));
  EXPECT_NE(new_number, old_number);
  EXPECT_EQ(cache.find(new_number, 0, view(b)), kNoBlock);
  cache.check_invariants();
}

TEST(PrefixCache, CrowdedBucketsKeepEveryEntry) {
  PrefixCache cache(64);
  for (BlockId block = 0; block < 64; ++block) {
    cache.insert(block, PrefixCache::kRoot, 0, view(filled(block)));
  }
  for (BlockId block = 0; block < 64; block += 2) cache.erase(block);
  cache.check_invariants();
  for (BlockId block = 0; block < 64; ++block) {
    const BlockId found = cache.find(PrefixCache::kRoot, 0, view(filled(block)));
    EXPECT_EQ(found, block % 2 == 0 ? kNoBlock : block);
  }
}

TEST(PrefixCache, InsertingTwiceOrErasingTheAbsentIsABug) {
  PrefixCache cache(2);
  cache.insert(0, PrefixCache::kRoot, 0, view(filled(1)));
  EXPECT_THROW(cache.insert(0, PrefixCache::kRoot, 0, view(filled(2))), InternalError);
  EXPECT_THROW(cache.erase(1), InternalError);
}

}  // namespace
}  // namespace sluice
