// Cuts a step's attention into items of about equal cost. Cost is counted in keys a row tile reads.
#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/attention/attention.h"

namespace sluice::cuda {
namespace {

struct RowTile {
  AttendItem item;  // unsplit
  bool decode = false;
};

// Blocks that the last row of a tile may see.
int visible_blocks(const RaggedBatch& batch, int s, int last_token) {
  const int q_len = batch.q_indptr[s + 1] - batch.q_indptr[s];
  return static_cast<int>(ceil_div(batch.kv_lens[s] - q_len + last_token + 1, kBlockTokens));
}

void append_row_tiles(const RaggedBatch& batch, int num_kv_heads, int group,
                      std::vector<RowTile>& tiles) {
  for (int s = 0; s < batch.num_seqs(); ++s) {
    const int rows = (batch.q_indptr[s + 1] - batch.q_indptr[s]) * group;
    const bool decode = rows <= kDecodeRows;
    const int tile_rows = decode ? kDecodeRows : kPrefillRows;
    for (int begin = 0; begin < rows; begin += tile_rows) {
      const int count = std::min(tile_rows, rows - begin);
      const int blocks = visible_blocks(batch, s, (begin + count - 1) / group);
      for (int head = 0; head < num_kv_heads; ++head) {
        tiles.push_back({.item = {.seq = s,
                                  .kv_head = head,
                                  .row_begin = begin,
                                  .rows = count,
                                  .block_begin = 0,
                                  .block_end = blocks},
                         .decode = decode});
      }
    }
  }
}

}  // namespace

void AttentionPlan::build(const RaggedBatch& batch, int num_kv_heads, int group, int num_workers,
                          int max_partials) {
  SLUICE_CHECK_LE(group, kDecodeRows);
  decode.clear();
  prefill.clear();
  merge.clear();
  num_partials = 0;
  max_merge_rows = 0;
  std::vector<RowTile> tiles;
  append_row_tiles(batch, num_kv_heads, group, tiles);
  int64_t total_blocks = 0;
  for (const RowTile& tile : tiles) total_blocks += tile.item.block_end;
  const int limit =
      static_cast<int>(std::max<int64_t>(kSplitBlocks, ceil_div(total_blocks, num_workers)));
  for (const RowTile& tile : tiles) {
    std::vector<AttendItem>& items = tile.decode ? decode : prefill;
    const int slots = tile.decode ? 1 : kPrefillRows / kDecodeRows;
    int splits = static_cast<int>(ceil_div(tile.item.block_end, limit));
    if (num_partials + splits * slots > max_partials) splits = 1;
    if (splits == 1) {
      items.push_back(tile.item);
      continue;
    }
    max_merge_rows = std::max(max_merge_rows, tile.item.rows);
    merge.push_back({.seq = tile.item.seq,
                     .kv_head = tile.item.kv_head,
                     .row_begin = tile.item.row_begin,
                     .rows = tile.item.rows,
                     .partial_begin = num_partials,
                     .num_partials = splits,
                     .slots = slots});
    for (int i = 0; i < splits; ++i) {
      AttendItem part = tile.item;
      part.block_begin = static_cast<int32_t>(int64_t{tile.item.block_end} * i / splits);
      part.block_end = static_cast<int32_t>(int64_t{tile.item.block_end} * (i + 1) / splits);
      part.partial = num_partials;
      num_partials += slots;
      items.push_back(part);
    }
  }
  for (std::vector<AttendItem>* items : {&decode, &prefill}) {
    std::stable_sort(items->begin(), items->end(), [](const AttendItem& a, const AttendItem& b) {
      return a.block_end - a.block_begin > b.block_end - b.block_begin;
    });
  }
}

}  // namespace sluice::cuda
