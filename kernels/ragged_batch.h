// RaggedBatch: one step without padding. Plain data that crosses from time (engine) to numbers
// (kernels).
//
//   sequence      0         1               2
//   q rows     | a | b b b b b b b | c c c |          token_ids, positions: [tokens]
//   q_indptr   0   1               8      11          [seqs + 1]
//   kv_lens     200      7            67              [seqs]  keys visible to the LAST row, this
//   step's included
//
// Row t of sequence s (t counted from its first row) sits at position kv_len - q_len + t and sees
// keys [0, position]: bottom-right aligned causality, the same rule for decode, chunk and whole
// prompt.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace sluice {

// Stands in token_ids for a token that the host does not know yet: entry `index` of the ids that
// the step before samples (RaggedBatchView::sampled).
constexpr TokenId pending_token(int32_t index) { return -1 - index; }
constexpr int32_t pending_index(TokenId id) { return -1 - id; }

// The first key that a row at `position` sees through a window of `window` keys; 0: there is none.
constexpr int32_t first_visible(int32_t position, int32_t window) {
  return window > 0 && position >= window ? position - window + 1 : 0;
}

struct RaggedBatch {
  std::vector<TokenId> token_ids;     // [tokens] ids, or pending_token()s
  std::vector<int32_t> positions;     // [tokens]
  std::vector<int32_t> q_indptr;      // [seqs + 1], first 0, strictly increasing, last = tokens
  std::vector<int32_t> kv_lens;       // [seqs]
  std::vector<int32_t> block_indptr;  // [seqs + 1], first 0, last = blocks.size()
  std::vector<BlockId> blocks;        // CSR by sequence: block of its tokens [64 i, 64 i + 64)
  std::vector<int32_t> logit_rows;    // [samples], ascending rows whose logits are wanted

  int num_tokens() const { return static_cast<int>(token_ids.size()); }
  int num_seqs() const { return static_cast<int>(kv_lens.size()); }
  void clear();  // keeps the memory for the next step
  // CHECKs every invariant above: shapes, order, positions = kv_len - q_len + t, enough blocks for
  // kv_len, block ids in [0, num_blocks), token ids in [0, vocab_size) or pending with an index in
  // [0, num_sampled). O(size).
  void validate(int num_blocks, int vocab_size, int num_sampled = 0) const;
};

// The same arrays as the device sees them. Borrowed for one step.
struct RaggedBatchView {
  int num_tokens = 0;
  int num_seqs = 0;
  const TokenId* token_ids = nullptr;  // device memory, shapes as in RaggedBatch
  const TokenId* sampled = nullptr;    // ids that the step before samples; null: none is pending
  const int32_t* positions = nullptr;
  const int32_t* q_indptr = nullptr;
  const int32_t* kv_lens = nullptr;
  const int32_t* block_indptr = nullptr;
  const BlockId* blocks = nullptr;
  int num_logit_rows = 0;
  const int32_t* logit_rows = nullptr;
  const RaggedBatch* host = nullptr;  // the host's copy, for planning; never null

  // View of host memory, for backends whose device memory is host memory.
  static RaggedBatchView of(const RaggedBatch& batch);
};

// A run of keys [start, start + len) in the sequence's own storage order.
struct alignas(8) KvRun {
  int32_t start = 0;
  int32_t len = 0;
};

// Query rows of one tile of a run list: tile i of a sequence covers its rows [i * kQueryTile, ...).
inline constexpr int kQueryTile = 64;

// KvRuns of one layer: which keys each (query tile, KV head) may attend to, as CSR of runs. Runs of
// one list are ascending and disjoint, of any length and start; a list may be empty; causality
// still cuts them at each row's position, so a dense sequence among others is one run [0, kv_len).
// Dense attention of a whole step passes no KvRuns at all. A variant decides which tokens, the
// attention kernel decides how.
//
// The arrays are device memory that an earlier op of the same stream may have written: no backend
// reads them on the host. What the host knows is how many lists there are, since a sequence has
// ceil(q_len / kQueryTile) tiles; work is divided on the device, by the keys that are kept. Join
// neighbouring runs: on a GPU single keys cost about four times as much as those of runs of 16.
struct KvRunsView {
  const int32_t* tile_indptr = nullptr;  // [seqs + 1]: first tile of each sequence
  const int32_t* run_indptr = nullptr;   // [tiles * kv_heads + 1], tile-major
  const KvRun* runs = nullptr;           // [run_indptr.back()]
};

// One layer's K and V inside the block arena. The tile of (block b, KV head h) is kBlockTokens x
// head_dim elements, contiguous, at arena + b * block_bytes + k_offset + h * tile bytes; V
// likewise. The order of elements inside a tile is the backend's own.
struct KvCacheView {
  std::byte* arena = nullptr;  // device memory
  int64_t block_bytes = 0;
  int64_t k_offset = 0;
  int64_t v_offset = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  DType dtype = DType::kBF16;

  constexpr size_t tile_bytes() const {
    return static_cast<size_t>(kBlockTokens) * head_dim * size_of(dtype);
  }
  constexpr std::byte* k_tile(BlockId block, int head) const {
    return arena + block * block_bytes + k_offset + static_cast<int64_t>(head * tile_bytes());
  }
  constexpr std::byte* v_tile(BlockId block, int head) const {
    return arena + block * block_bytes + v_offset + static_cast<int64_t>(head * tile_bytes());
  }
};

}  // namespace sluice
