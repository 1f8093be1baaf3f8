// KvLayout: what the bytes of one block mean. A block is kBlockTokens tokens of one sequence over
// all layers.
//
//   block:  | layer 0: K head 0, K head 1 .. | V head 0, V head 1 .. | layer 1: K .. V .. | ... |
//
// One (block, layer, K or V, head) tile is kBlockTokens x head_dim elements, contiguous.
#pragma once

#include <cstdint>

#include "kernels/ragged_batch.h"

namespace sluice {

struct KvLayout {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  DType dtype = DType::kBF16;

  int64_t tile_bytes() const {
    return int64_t{kBlockTokens} * head_dim * static_cast<int64_t>(size_of(dtype));
  }
  int64_t layer_bytes() const { return 2 * tile_bytes() * num_kv_heads; }
  int64_t block_bytes() const { return layer_bytes() * num_layers; }
  int64_t bytes_per_token() const { return block_bytes() / kBlockTokens; }
  // The kernels' view of one layer in an arena of blocks of this layout.
  KvCacheView layer(std::byte* arena, int layer_index) const {
    return {.arena = arena,
            .block_bytes = block_bytes(),
            .k_offset = layer_index * layer_bytes(),
            .v_offset = layer_index * layer_bytes() + layer_bytes() / 2,
            .num_kv_heads = num_kv_heads,
            .head_dim = head_dim,
            .dtype = dtype};
  }
};

}  // namespace sluice
