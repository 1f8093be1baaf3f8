// The order of elements inside one K or V tile (64 tokens x head_dim, bf16) of the CUDA backend.
//
// A tile is stored as the tensor cores want it in shared memory, so that loading is one plain bulk
// copy:
//
//   | columns 0..63 of tokens 0..63 | columns 64..127 of tokens 0..63 |      8 KB a panel
//   panel: 64 rows of 128 bytes; the 16-byte chunk c of row r lies at chunk c ^ (r % 8)
//
// which is the hardware's 128-byte swizzle. A head_dim of 32 more than a multiple of 64 ends in a
// panel of 32 columns: 64-byte rows, chunk c at c ^ (r / 2 % 4). float32 caches (tests of
// precision) are plain row-major.
#pragma once

#include "kernels/ragged_batch.h"

namespace sluice::cuda {

inline constexpr int kPanelColumns = 64;
inline constexpr int kPanelBytes = kBlockTokens * kPanelColumns * 2;

// Columns of the panel that holds `column`.
__host__ __device__ constexpr int panel_width(int column, int head_dim) {
  const int left = head_dim - column / kPanelColumns * kPanelColumns;
  return left < kPanelColumns ? left : kPanelColumns;
}

// Element offset of (token, column) in a bf16 tile.
__host__ __device__ constexpr int kv_tile_index(int token, int column, int head_dim) {
  const int panel = column / kPanelColumns, chunk = column % kPanelColumns / 8;
  const int width = panel_width(column, head_dim);
  const int phase = width == kPanelColumns ? token & 7 : token >> 1 & 3;
  return panel * kBlockTokens * kPanelColumns + token * width + (chunk ^ phase) * 8 + column % 8;
}

// The sequence of row `token`: the last s with q_indptr[s] <= token.
__device__ inline int sequence_of(const RaggedBatchView& batch, int token) {
  int low = 0, high = batch.num_seqs;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (batch.q_indptr[middle] <= token ? low : high) = middle;
  }
  return low;
}

// Byte offset of the eight columns from `column` + 8 * `half` on, of a tile with kRows rows.
// `column` is a multiple of 16 and should be known to the compiler.
template <int kDim, int kRows>
__device__ __forceinline__ int tile_offset(int row, int column, int half) {
  const int width = panel_width(column, kDim);
  const int chunk = column % kPanelColumns / 8 + half;
  const int phase = width == kPanelColumns ? row & 7 : row >> 1 & 3;
  return (column / kPanelColumns) * kRows * kPanelColumns * 2 + row * width * 2 +
         (chunk ^ phase) * 16;
}

}  // namespace sluice::cuda
