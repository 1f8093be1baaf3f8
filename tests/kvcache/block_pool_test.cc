#include "kvcache/block_pool.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace sluice {
namespace {

TEST(BlockPool, TakesPlainBlocksBeforeCachedOnesAndTheOldestOfTheseFirst) {
  BlockPool pool(4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(pool.take(), i);
  pool.set_cached(2, true);
  pool.set_cached(0, true);
  pool.let_go(2);
  pool.let_go(0);
  pool.let_go(1);
  pool.let_go(3);
  pool.check_invariants();
  EXPECT_EQ(pool.num_free(), 4);
  EXPECT_EQ(pool.num_cached_free(), 2);
  EXPECT_EQ(pool.take(), 3);  // plain, let go last
  EXPECT_EQ(pool.take(), 1);
  EXPECT_EQ(pool.take(), 2);  // cached, let go first
  EXPECT_EQ(pool.take(), 0);
  pool.check_invariants();
}

TEST(BlockPool, HoldingACachedFreeBlockRevivesIt) {
  BlockPool pool(2);
  const BlockId block = pool.take();
  pool.set_cached(block, true);
  pool.let_go(block);
  pool.hold(block);
  pool.hold(block);
  EXPECT_EQ(pool.references(block), 2);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_NE(pool.take(), block);
  pool.check_invariants();
}

TEST(BlockPool, MisuseIsABug) {
  BlockPool pool(2);
  const BlockId block = pool.take();
  pool.let_go(block);
  EXPECT_THROW(pool.let_go(block), InternalError);  // a double free
  EXPECT_THROW(pool.hold(block), InternalError);    // nobody can know its content
  EXPECT_THROW(pool.hold(2), InternalError);
  EXPECT_THROW(pool.hold(kNoBlock), InternalError);
  pool.take();
  pool.take();
  EXPECT_THROW(pool.take(), InternalError);
  EXPECT_THROW(BlockPool(0), InternalError);
}

}  // namespace
}  // namespace sluice
