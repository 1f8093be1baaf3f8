// The CUDA backend's attention plan, on the host: every key of every row tile is read exactly once.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <tuple>

#include "kernels/cuda/attention/attention.h"

namespace sluice::cuda {
namespace {

struct Length {
  int q, kv;
};

RaggedBatch batch_of(const std::vector<Length>& lengths) {
  RaggedBatch batch;
  batch.q_indptr = {0};
  for (const Length& length : lengths) {
    batch.q_indptr.push_back(batch.q_indptr.back() + length.q);
    batch.kv_lens.push_back(length.kv);
  }
  return batch;
}

using Tile = std::tuple<int, int, int>;  // sequence, KV head, first row

// The blocks that items give to each tile, in order, after checking that they neither overlap nor
// leave gaps.
void check_cover(const AttentionPlan& plan, const RaggedBatch& batch, int num_kv_heads, int group,
                 int window) {
  std::map<Tile, std::vector<AttendItem>> tiles;
  for (const auto* items : {&plan.decode, &plan.prefill}) {
    for (const AttendItem& item : *items)
      tiles[{item.seq, item.kv_head, item.row_begin}].push_back(item);
  }
  int64_t rows_covered = 0;
  for (auto& [tile, items] : tiles) {
    std::sort(items.begin(), items.end(), [](const AttendItem& a, const AttendItem& b) {
      return a.block_begin < b.block_begin;
    });
    const AttendItem& first = items.front();
    const int s = first.seq, q_len = batch.q_indptr[s + 1] - batch.q_indptr[s];
    const int done = batch.kv_lens[s] - q_len;
    int next = first_visible(done + first.row_begin / group, window) / kBlockTokens;
    for (const AttendItem& item : items) {
      EXPECT_EQ(item.block_begin, next);
      EXPECT_GT(item.block_end, item.block_begin);
      EXPECT_EQ(item.partial >= 0, items.size() > 1);
      next = item.block_end;
    }
    const int last_token = (first.row_begin + first.rows - 1) / group;
    EXPECT_EQ(next, ceil_div(done + last_token + 1, kBlockTokens));
    rows_covered += first.rows;
  }
  EXPECT_EQ(rows_covered, int64_t{batch.q_indptr.back()} * group * num_kv_heads);
}

TEST(AttentionPlan, CoversEveryVisibleBlockOnceOverRandomBatches) {
  std::mt19937 rng(20261124);
  for (int round = 0; round < 200; ++round) {
    std::vector<Length> lengths(1 + rng() % 40);
    for (Length& length : lengths) {
      length.q = rng() % 3 == 0 ? 1 + static_cast<int>(rng() % 700) : 1;
      length.kv = length.q + static_cast<int>(rng() % 20000);
    }
    const int group = 1 << rng() % 4;
    const RaggedBatch batch = batch_of(lengths);
    AttentionPlan plan;
    const int window = round % 2 == 0 ? 0 : 1 + static_cast<int>(rng() % 6000);
    plan.build(batch, /*num_kv_heads=*/3, group, window, /*num_workers=*/264,
               /*max_partials=*/4096);
    check_cover(plan, batch, 3, group, window);
    EXPECT_LE(plan.num_partials, 4096);
  }
}

TEST(AttentionPlan, SplitsALoneLongSequenceOverTheWorkers) {
  AttentionPlan plan;
  plan.build(batch_of({{1, 131072}}), /*num_kv_heads=*/8, /*group=*/4, /*window=*/0,
             /*num_workers=*/264, 4096);
  EXPECT_GE(plan.decode.size(), 240U);
  EXPECT_LE(plan.decode.size(), 264U);
  EXPECT_EQ(plan.merge.size(), 8U);
  EXPECT_EQ(plan.max_merge_rows, 4);
}

TEST(AttentionPlan, NeverExceedsTheRoomForPartials) {
  AttentionPlan plan;
  plan.build(batch_of({{300, 50000}, {1, 50000}}), /*num_kv_heads=*/8, /*group=*/4,
             /*window=*/0, /*num_workers=*/264,
             /*max_partials=*/20);
  EXPECT_LE(plan.num_partials, 20);
}

TEST(AttentionPlan, StartsWithTheLongestItems) {
  AttentionPlan plan;
  plan.build(batch_of({{1, 100}, {1, 9000}, {1, 4000}}), 1, 1, /*window=*/0, /*num_workers=*/1,
             4096);
  EXPECT_TRUE(
      std::is_sorted(plan.decode.begin(), plan.decode.end(), [](const auto& a, const auto& b) {
        return a.block_end - a.block_begin > b.block_end - b.block_begin;
      }));
}

TEST(AttentionPlan, RowTilesOfListsCoverEveryRowOfTheirListOnce) {
  std::mt19937 rng(20261126);
  for (int round = 0; round < 100; ++round) {
    std::vector<Length> lengths(1 + rng() % 20);
    for (Length& length : lengths) {
      length.q = rng() % 3 == 0 ? 1 + static_cast<int>(rng() % 400) : 1;
      length.kv = length.q + static_cast<int>(rng() % 5000);
    }
    const int group = 1 + static_cast<int>(rng() % 8), heads = 2;
    const RaggedBatch batch = batch_of(lengths);
    const int window = round % 2 == 0 ? 0 : 1 + static_cast<int>(rng() % 600);
    AttentionPlan plan;
    plan.build_row_tiles(batch, heads, group, window, /*num_workers=*/264);
    std::map<std::pair<int, int>, int> rows_of_list;  // by (sequence, list)
    for (const auto* tiles : {&plan.decode, &plan.prefill}) {
      for (const AttendItem& tile : *tiles) {
        const int q_len = lengths[tile.seq].q;
        const int first = tile.row_begin / group, last = (tile.row_begin + tile.rows - 1) / group;
        EXPECT_EQ(first / kQueryTile, last / kQueryTile);
        EXPECT_EQ(tile.list % heads, tile.kv_head);
        EXPECT_LE(tile.row_begin + tile.rows, q_len * group);
        const int done = lengths[tile.seq].kv - q_len;
        EXPECT_LE(plan.list_keys[tile.list].begin, first_visible(done + first, window));
        EXPECT_GE(plan.list_keys[tile.list].end, done + last + 1);
        rows_of_list[{tile.seq, tile.list}] += tile.rows;
      }
    }
    int list = 0;
    for (size_t s = 0; s < lengths.size(); ++s) {
      for (int first = 0; first < lengths[s].q; first += kQueryTile) {
        const int rows = std::min(kQueryTile, lengths[s].q - first) * group;
        for (int head = 0; head < heads; ++head, ++list)
          EXPECT_EQ((rows_of_list[{static_cast<int>(s), list}]), rows);
      }
    }
    EXPECT_EQ(plan.list_keys.size(), static_cast<size_t>(list));
  }
}

}  // namespace
}  // namespace sluice::cuda
