// The device's side of fusions.h, one element or pair at a time.
//
// A norm is parted in two: the product that writes a residual row also writes it times the norm's
// weight, and the sum of squares of every 16 elements; the products that read those values multiply
// their own sums by the factor that the squares add up to.
#pragma once

#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/gemm/fusions.h"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {

// ---- the factors of a ProductInput's rows ------------------------------------------------------

struct RowFactors {
  const float* squares;  // [tokens, parts], a row `stride` elements apart; null: nothing is lacking
  int64_t stride;
  int parts;  // a multiple of 4
  float inverse_cols, eps;

  explicit RowFactors(const ProductInput& x)
      : squares(static_cast<const float*>(x.squares.data)),
        stride(x.squares.row_stride),
        parts(static_cast<int>(x.squares.cols)),
        inverse_cols(1.0F / static_cast<float>(x.values.cols)),
        eps(x.eps) {}

  // What thread `thread` of kThreads neighbours, a power of two up to 32, adds to its row's sum.
  template <int kThreads, int kAtOnce = 4>
  __device__ float share(int token, int thread) const {
    const auto* from = reinterpret_cast<const float4*>(squares + token * stride);
    float sum = 0;
#pragma unroll kAtOnce
    for (int i = thread; i < parts / 4; i += kThreads) {
      const float4 part = from[i];
      sum += part.x + part.y + (part.z + part.w);
    }
    return sum;
  }
  // The factor, from the shares of the neighbours; the whole warp calls it.
  template <int kThreads>
  __device__ float factor(float share) const {
#pragma unroll
    for (int step = kThreads / 2; step > 0; step /= 2) share += __shfl_xor_sync(~0U, share, step);
    return rsqrtf(share * inverse_cols + eps);
  }
};

// ---- AddNorm -----------------------------------------------------------------------------------

// Adds `product` to the residual's element, which was `before`, and returns what it is now.
__device__ inline float add_to_residual(const AddNorm& to, int token, int col, float before,
                                        float gain, float product) {
  const __nv_bfloat16 sum = from_f32<__nv_bfloat16>(before + product);
  to.residual[token * to.residual_stride + col] = sum;
  to.out[token * to.out_stride + col] = from_f32<__nv_bfloat16>(to_f32(sum) * gain);
  return to_f32(sum);
}

// ---- RopeAppend --------------------------------------------------------------------------------

// Where the token of a row is, and the block that its keys and values go to.
struct RopeSlot {
  int position;
  BlockId block;
};

// Where a pair of columns (i, i + head_dim / 2) of a head goes, and by what it is turned.
struct RopePlace {
  __nv_bfloat16* low;
  __nv_bfloat16* high;
  float cos, sin;

  __device__ void store(float a, float b) const {
    *low = from_f32<__nv_bfloat16>(a * cos - b * sin);
    *high = from_f32<__nv_bfloat16>(b * cos + a * sin);
  }
};

// Both read only what was there before the step.
__device__ inline RopeSlot rope_slot(const RopeAppend& to, int token) {
  const int position = to.batch.positions[token];
  const int block = to.batch.block_indptr[sequence_of(to.batch, token)] + position / kBlockTokens;
  return {position, to.batch.blocks[block]};
}
__device__ inline RopePlace rope_place(const RopeAppend& to, RopeSlot at, int token, int head,
                                       int i) {
  const KvCacheView& kv = to.kv;
  const int half = kv.head_dim / 2;
  const bool is_v = head >= to.num_q_heads + kv.num_kv_heads;
  const int64_t angle = static_cast<int64_t>(at.position) * half + i;
  const float cos = is_v ? 1.0F : to.rope.cos[angle], sin = is_v ? 0.0F : to.rope.sin[angle];
  if (head < to.num_q_heads) {
    __nv_bfloat16* q = to.qkv + token * to.stride + head * kv.head_dim + i;
    return {q, q + half, cos, sin};
  }
  const int kv_head = (head - to.num_q_heads) % kv.num_kv_heads, slot = at.position % kBlockTokens;
  auto* tile = reinterpret_cast<__nv_bfloat16*>(is_v ? kv.v_tile(at.block, kv_head)
                                                     : kv.k_tile(at.block, kv_head));
  return {tile + kv_tile_index(slot, i, kv.head_dim),
          tile + kv_tile_index(slot, half + i, kv.head_dim), cos, sin};
}

}  // namespace sluice::cuda
