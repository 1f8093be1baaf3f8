// The order of elements inside one K or V tile (64 tokens x head_dim, bf16) of the CUDA backend.
//
// A tile is stored as the tensor cores want it in shared memory, so that loading is one plain bulk
// copy:
//
//   | columns 0..63 of tokens 0..63 | columns 64..127 of tokens 0..63 |      8 KB a panel
//   panel: 64 rows of 128 bytes; the 16-byte chunk c of row r lies at chunk c ^ (r % 8)
//
// which is the hardware's 128-byte swizzle. float32 caches (tests of precision) are plain
// row-major.
#pragma once

#include "kernels/ragged_batch.h"

namespace sluice::cuda {

inline constexpr int kPanelColumns = 64;
inline constexpr int kPanelBytes = kBlockTokens * kPanelColumns * 2;

// Element offset of (token, column) in a bf16 tile.
__host__ __device__ constexpr int kv_tile_index(int token, int column) {
  const int panel = column / kPanelColumns, chunk = column % kPanelColumns / 8;
  return panel * kBlockTokens * kPanelColumns + token * kPanelColumns +
         ((chunk ^ (token & 7)) * 8) + column % 8;
}

}  // namespace sluice::cuda
