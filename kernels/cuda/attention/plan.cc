// Cuts a step's attention into items of about equal cost. Cost is counted in keys a row tile reads.
#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/attention/attention.h"

namespace sluice::cuda {
namespace {

// Items of a worker from which on they are grouped by heads.
constexpr size_t kItemsToGroup = 4;

struct RowTile {
  AttendItem item;  // unsplit
  bool decode = false;
};

// Blocks that the last row of a tile may see.
int visible_blocks(const RaggedBatch& batch, int s, int last_token) {
  const int q_len = batch.q_indptr[s + 1] - batch.q_indptr[s];
  return static_cast<int>(ceil_div(batch.kv_lens[s] - q_len + last_token + 1, kBlockTokens));
}

// The row tiles of packed rows [first, end) of sequence s, for every KV head. `first_list` is the
// list of KV head 0, or -1.
void append_row_tiles(const RaggedBatch& batch, int s, int first, int end, int num_kv_heads,
                      int group, int first_list, std::vector<RowTile>& tiles) {
  const bool decode = (batch.q_indptr[s + 1] - batch.q_indptr[s]) * group <= kDecodeRows;
  const int tile_rows = decode ? kDecodeRows : kPrefillRows;
  for (int begin = first; begin < end; begin += tile_rows) {
    const int count = std::min(tile_rows, end - begin);
    const int blocks = visible_blocks(batch, s, (begin + count - 1) / group);
    for (int head = 0; head < num_kv_heads; ++head) {
      tiles.push_back({.item = {.seq = s,
                                .kv_head = head,
                                .row_begin = begin,
                                .rows = count,
                                .block_begin = 0,
                                .block_end = blocks,
                                .list = first_list < 0 ? -1 : first_list + head},
                       .decode = decode});
    }
  }
}

void sort_longest_first(std::vector<AttendItem>& items) {
  std::stable_sort(items.begin(), items.end(), [](const AttendItem& a, const AttendItem& b) {
    return a.block_end - a.block_begin > b.block_end - b.block_begin;
  });
}

// Longest first; where there is enough to do, among the heads whose keys fit the cache together,
// one such group after the other: only the last group's end is the step's.
void sort_by_heads(const RaggedBatch& batch, size_t enough, std::vector<AttendItem>& items) {
  sort_longest_first(items);
  if (items.size() < enough) return;
  const auto group_of = [&](const AttendItem& item) {
    return item.kv_head / std::max(1, kCachedKeys / batch.kv_lens[item.seq]);
  };
  std::stable_sort(items.begin(), items.end(), [&](const AttendItem& a, const AttendItem& b) {
    return group_of(a) < group_of(b);
  });
}

}  // namespace

void AttentionPlan::build(const RaggedBatch& batch, int num_kv_heads, int group, int num_workers,
                          int max_partials) {
  clear(group);
  std::vector<RowTile> tiles;
  for (int s = 0; s < batch.num_seqs(); ++s) {
    const int rows = (batch.q_indptr[s + 1] - batch.q_indptr[s]) * group;
    append_row_tiles(batch, s, 0, rows, num_kv_heads, group, /*first_list=*/-1, tiles);
  }
  int64_t total_blocks = 0;
  for (const RowTile& tile : tiles) total_blocks += tile.item.block_end;
  const int limit =
      static_cast<int>(std::max<int64_t>(kSplitBlocks, ceil_div(total_blocks, num_workers)));
  for (const RowTile& tile : tiles) {
    std::vector<AttendItem>& items = tile.decode ? decode : prefill;
    const int slots = tile.decode ? 1 : kPrefillRows / kDecodeRows;
    int splits = num_pieces(tile.item.block_end, limit);
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
      part.block_begin = piece_begin(tile.item.block_end, limit, splits, i);
      part.block_end = piece_begin(tile.item.block_end, limit, splits, i + 1);
      part.partial = num_partials;
      num_partials += slots;
      items.push_back(part);
    }
  }
  sort_longest_first(decode);
  sort_by_heads(batch, kItemsToGroup * num_workers, prefill);
}

void AttentionPlan::build_row_tiles(const RaggedBatch& batch, int num_kv_heads, int group,
                                    int num_workers) {
  clear(group);
  std::vector<RowTile> tiles;
  for (int s = 0; s < batch.num_seqs(); ++s) {
    const int q_len = batch.q_indptr[s + 1] - batch.q_indptr[s];
    for (int first = 0; first < q_len; first += kQueryTile) {
      const int end = std::min(first + kQueryTile, q_len);
      append_row_tiles(batch, s, first * group, end * group, num_kv_heads, group,
                       static_cast<int>(list_limits.size()), tiles);
      list_limits.insert(list_limits.end(), num_kv_heads, batch.kv_lens[s] - q_len + end);
    }
  }
  for (const RowTile& tile : tiles) {
    max_merge_rows = std::max(max_merge_rows, tile.item.rows);
    (tile.decode ? decode : prefill).push_back(tile.item);
  }
  sort_longest_first(decode);
  sort_by_heads(batch, kItemsToGroup * num_workers, prefill);
}

void AttentionPlan::clear(int group) {
  SLUICE_CHECK_LE(group, kDecodeRows);
  decode.clear();
  prefill.clear();
  merge.clear();
  list_limits.clear();
  num_partials = 0;
  max_merge_rows = 0;
}

}  // namespace sluice::cuda
