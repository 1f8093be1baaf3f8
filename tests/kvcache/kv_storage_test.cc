#include "kvcache/kv_storage.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice {
namespace {

constexpr KvLayout kLayout{.num_layers = 3, .num_kv_heads = 2, .head_dim = 8, .dtype = DType::kF32};

TEST(KvStorage, ZeroesTheArenaAndCutsItIntoDisjointTiles) {
  const auto backend = make_cpu_backend(1);
  Result<KvStorage> storage = KvStorage::create(*backend, kLayout, 2);
  ASSERT_TRUE(storage.ok()) << storage.status().message();
  EXPECT_EQ(storage->bytes(), 2 * kLayout.block_bytes());
  EXPECT_EQ(kLayout.block_bytes(), 3 * 2 * 2 * kBlockTokens * 8 * 4);

  std::vector<std::byte*> tiles;
  for (int layer = 0; layer < 3; ++layer) {
    const KvCacheView view = storage->layer(layer);
    for (BlockId block = 0; block < 2; ++block) {
      for (int head = 0; head < 2; ++head) {
        tiles.push_back(view.k_tile(block, head));
        tiles.push_back(view.v_tile(block, head));
      }
    }
  }
  std::ranges::sort(tiles);
  for (size_t i = 0; i < tiles.size(); ++i) {
    EXPECT_EQ(tiles[i] - tiles[0], static_cast<ptrdiff_t>(i) * kLayout.tile_bytes());
  }
  EXPECT_TRUE(std::all_of(tiles[0], tiles[0] + storage->bytes(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
  EXPECT_THROW((void)storage->layer(3), InternalError);
}

TEST(KvStorage, RefusesNoBlocks) {
  const auto backend = make_cpu_backend(1);
  EXPECT_EQ(KvStorage::create(*backend, kLayout, 0).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
