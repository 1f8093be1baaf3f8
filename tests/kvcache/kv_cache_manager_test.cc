#include "kvcache/kv_cache_manager.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/check.h"

namespace sluice {
namespace {

std::vector<TokenId> count_up(int length, TokenId first = 0) {
  std::vector<TokenId> tokens(static_cast<size_t>(length));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// Computes and publishes `tokens` in a table of its own, and lets it go.
void remember(KvCacheManager& kv, const std::vector<TokenId>& tokens, uint64_t salt = 0) {
  BlockTable table;
  ASSERT_TRUE(kv.reserve(table, static_cast<int64_t>(tokens.size())));
  kv.publish(table, tokens, static_cast<int64_t>(tokens.size()), salt);
  kv.release(table);
}

TEST(KvCacheManager, ReserveIsAllOrNothing) {
  KvCacheManager kv({.num_blocks = 4});
  BlockTable a;
  BlockTable b;
  EXPECT_TRUE(kv.reserve(a, 65));
  EXPECT_EQ(a.blocks.size(), 2U);
  EXPECT_FALSE(kv.reserve(b, 129));
  EXPECT_TRUE(b.blocks.empty());
  EXPECT_EQ(kv.num_free_blocks(), 2);
  EXPECT_TRUE(kv.reserve(a, 128));  // it holds them already
  EXPECT_EQ(a.blocks.size(), 2U);
  EXPECT_TRUE(kv.reserve(b, 128));
  EXPECT_EQ(kv.num_free_blocks(), 0);
  kv.release(a);
  kv.release(a);
  kv.release(b);
  EXPECT_EQ(kv.num_free_blocks(), 4);
}

TEST(KvCacheManager, FindsAReleasedPrefixAndNeverAllOfIt) {
  KvCacheManager kv({.num_blocks = 8});
  const auto tokens = count_up(192);
  remember(kv, tokens);
  EXPECT_EQ(kv.stats().blocks_cached_free, 3);

  BlockTable table;
  EXPECT_EQ(kv.match_prefix(tokens, 0, table), 128);  // the last token stays to be computed
  EXPECT_EQ(kv.stats().blocks_held, 2);
  kv.release(table);
  EXPECT_EQ(kv.match_prefix(count_up(193), 0, table), 192);
  kv.release(table);
  EXPECT_EQ(kv.match_prefix(count_up(193), 1, table), 0) << "another salt";
  EXPECT_EQ(kv.match_prefix(count_up(193, 1), 0, table), 0) << "other tokens";
  EXPECT_EQ(kv.match_prefix({}, 0, table), 0);
}

TEST(KvCacheManager, PublishesFullComputedBlocksOnly) {
  KvCacheManager kv({.num_blocks = 8});
  const auto tokens = count_up(300);
  BlockTable table;
  ASSERT_TRUE(kv.reserve(table, 300));
  kv.publish(table, tokens, 127, 0);
  EXPECT_EQ(table.num_published, 1);
  BlockTable other;
  EXPECT_EQ(kv.match_prefix(tokens, 0, other), 64);
  kv.release(other);
  kv.publish(table, tokens, 300, 0);
  EXPECT_EQ(kv.match_prefix(tokens, 0, other), 256);
  EXPECT_EQ(other.blocks.front(), table.blocks.front()) << "shared, not copied";
  const BlockTable* tables[] = {&table, &other};
  kv.check_invariants(tables);
  EXPECT_THROW(kv.publish(table, tokens, 301, 0), InternalError);
}

TEST(KvCacheManager, ATwinStaysPrivateAndItsSuccessorsAreFound) {
  KvCacheManager kv({.num_blocks = 8});
  const auto tokens = count_up(129);
  BlockTable first;
  BlockTable twin;
  ASSERT_TRUE(kv.reserve(first, 129) && kv.reserve(twin, 129));
  kv.publish(first, tokens, 64, 0);
  kv.publish(twin, tokens, 128, 0);  // its first block is known, its second is new
  BlockTable found;
  EXPECT_EQ(kv.match_prefix(tokens, 0, found), 128);
  EXPECT_EQ(found.blocks[0], first.blocks[0]);
  EXPECT_EQ(found.blocks[1], twin.blocks[1]);
  kv.release(first);
  kv.release(twin);
  kv.release(found);
  EXPECT_EQ(kv.stats().blocks_cached_free, 2);
}

TEST(KvCacheManager, ReusesTheEndOfAnOldPrefixFirst) {
  KvCacheManager kv({.num_blocks = 4});
  remember(kv, count_up(256));
  BlockTable table;
  ASSERT_TRUE(kv.reserve(table, 128));
  BlockTable found;
  EXPECT_EQ(kv.match_prefix(count_up(256), 0, found), 128);
}

TEST(KvCacheManager, ForkSharesFullBlocksWithoutPrefixCaching) {
  KvCacheManager kv({.num_blocks = 4, .enable_prefix_caching = false});
  BlockTable parent;
  BlockTable child;
  ASSERT_TRUE(kv.reserve(parent, 180));
  EXPECT_EQ(kv.fork(parent, 180, child), 128);
  EXPECT_EQ(kv.num_free_blocks(), 1);
  kv.release(parent);
  EXPECT_EQ(kv.num_free_blocks(), 2) << "two blocks are the child's now";
  EXPECT_THROW(kv.fork(parent, 1, child), InternalError);
  kv.release(child);
  EXPECT_EQ(kv.num_free_blocks(), 4);
  EXPECT_EQ(kv.stats().blocks_cached_free, 0);
}

TEST(KvCacheManager, DroppedBlocksStayFindableAndTheTableGoesOn) {
  KvCacheManager kv({.num_blocks = 4});
  const auto tokens = count_up(300);
  BlockTable table;
  ASSERT_TRUE(kv.reserve(table, 200));
  kv.drop_before(table, 128);
  EXPECT_EQ(table.num_dropped, 0) << "not published yet";
  kv.publish(table, tokens, 200, 0);
  kv.drop_before(table, 127);
  EXPECT_EQ(table.num_dropped, 1) << "full blocks only";
  kv.drop_before(table, 128);
  EXPECT_EQ(kv.num_free_blocks(), 2);
  BlockTable other;
  EXPECT_EQ(kv.match_prefix(std::span(tokens).first(150), 0, other), 128);
  kv.release(other);
  ASSERT_TRUE(kv.reserve(table, 300));  // takes what it has dropped
  EXPECT_EQ(table.blocks.size(), 5U);
  kv.publish(table, tokens, 300, 0);
  EXPECT_EQ(table.num_published, 4);
  EXPECT_EQ(kv.match_prefix(tokens, 0, other), 64) << "the second block is gone";
  kv.release(other);
  kv.release(table);
  EXPECT_EQ(kv.num_free_blocks(), 4);
  const BlockTable* const all[] = {&table, &other};
  kv.check_invariants(all);
}

TEST(KvCacheManager, DropsWithoutPrefixCaching) {
  KvCacheManager kv({.num_blocks = 3, .enable_prefix_caching = false});
  BlockTable table;
  ASSERT_TRUE(kv.reserve(table, 192));
  kv.drop_before(table, 130);
  EXPECT_EQ(kv.num_free_blocks(), 2);
  kv.release(table);
  EXPECT_EQ(kv.num_free_blocks(), 3);
}

TEST(KvCacheManager, DropCachedForgetsWhatNobodyHolds) {
  KvCacheManager kv({.num_blocks = 8});
  remember(kv, count_up(128));
  BlockTable held;
  EXPECT_EQ(kv.match_prefix(count_up(65), 0, held), 64);
  kv.drop_cached();
  BlockTable found;
  EXPECT_EQ(kv.match_prefix(count_up(200), 0, found), 64);
  kv.release(found);
  kv.release(held);
  kv.drop_cached();
  EXPECT_EQ(kv.match_prefix(count_up(200), 0, found), 0);
  EXPECT_EQ(kv.stats().blocks_cached_free, 0);
  kv.check_invariants({});
}

}  // namespace
}  // namespace sluice
