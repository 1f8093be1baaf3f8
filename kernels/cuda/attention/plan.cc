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

// The keys that tokens [first, last] of sequence s may see.
KeyRange visible_keys(const RaggedBatch& batch, int s, int first, int last, int window) {
  const int done = batch.kv_lens[s] - (batch.q_indptr[s + 1] - batch.q_indptr[s]);
  return {first_visible(done + first, window), done + last + 1};
}

// The row tiles of packed rows [first, end) of sequence s, for every KV head. `first_list` is the
// list of KV head 0, or -1.
void append_row_tiles(const RaggedBatch& batch, int s, int first, int end, int num_kv_heads,
                      int group, int window, int first_list, std::vector<RowTile>& tiles) {
  const bool decode = (batch.q_indptr[s + 1] - batch.q_indptr[s]) * group <= kDecodeRows;
  const int tile_rows = decode ? kDecodeRows : kPrefillRows;
  for (int begin = first; begin < end; begin += tile_rows) {
    const int count = std::min(tile_rows, end - begin);
    const KeyRange keys =
        visible_keys(batch, s, begin / group, (begin + count - 1) / group, window);
    for (int head = 0; head < num_kv_heads; ++head) {
      tiles.push_back({.item = {.seq = s,
                                .kv_head = head,
                                .row_begin = begin,
                                .rows = count,
                                .block_begin = keys.begin / kBlockTokens,
                                .block_end = static_cast<int>(ceil_div(keys.end, kBlockTokens)),
                                .list = first_list < 0 ? -1 : first_list + head},
                       .decode = decode});
    }
  }
}

int num_blocks(const AttendItem& item) { return item.block_end - item.block_begin; }

void sort_longest_first(std::vector<AttendItem>& items) {
  std::stable_sort(items.begin(), items.end(), [](const AttendItem& a, const AttendItem& b) {
    return num_blocks(a) > num_blocks(b);
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

void AttentionPlan::build(const RaggedBatch& batch, int num_kv_heads, int group, int window,
                          int num_workers, int max_partials) {
  clear(group);
  std::vector<RowTile> tiles;
  for (int s = 0; s < batch.num_seqs(); ++s) {
    const int rows = (batch.q_indptr[s + 1] - batch.q_indptr[s]) * group;
    append_row_tiles(batch, s, 0, rows, num_kv_heads, group, window, /*first_list=*/-1, tiles);
  }
  int64_t total_blocks = 0;
  for (const RowTile& tile : tiles) total_blocks += num_blocks(tile.item);
  const int limit =
      static_cast<int>(std::max<int64_t>(kSplitBlocks, ceil_div(total_blocks, num_workers)));
  for (const RowTile& tile : tiles) {
    std::vector<AttendItem>& items = tile.decode ? decode : prefill;
    const int slots = tile.decode ? 1 : kPrefillRows / kDecodeRows;
    const int begin = tile.item.block_begin, blocks = num_blocks(tile.item);
    int splits = num_pieces(blocks, limit);
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
      part.block_begin = begin + piece_begin(blocks, limit, splits, i);
      part.block_end = begin + piece_begin(blocks, limit, splits, i + 1);
      part.partial = num_partials;
      num_partials += slots;
      items.push_back(part);
    }
  }
  sort_longest_first(decode);
  sort_by_heads(batch, kItemsToGroup * num_workers, prefill);
}

void AttentionPlan::build_row_tiles(const RaggedBatch& batch, int num_kv_heads, int group,
                                    int window, int num_workers) {
  clear(group);
  std::vector<RowTile> tiles;
  for (int s = 0; s < batch.num_seqs(); ++s) {
    const int q_len = batch.q_indptr[s + 1] - batch.q_indptr[s];
    for (int first = 0; first < q_len; first += kQueryTile) {
      const int end = std::min(first + kQueryTile, q_len);
      append_row_tiles(batch, s, first * group, end * group, num_kv_heads, group, window,
                       static_cast<int>(list_keys.size()), tiles);
      list_keys.insert(list_keys.end(), num_kv_heads,
                       visible_keys(batch, s, first, end - 1, window));
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
  list_keys.clear();
  num_partials = 0;
  max_merge_rows = 0;
}

}  // namespace sluice::cuda
