// One warp's part of attention by mma.sync: 16 packed rows against some keys of a K and a V tile in
// shared memory. Serves decode.cu and portable.cu.
//
// A tile in shared memory is as kv_tile.cuh stores it, with kTileKeys rows in place of 64.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {

// Softmax state and output of one warp: rows g = lane / 4 and g + 8 of the tile.
template <int kDim>
struct Rows {
  float max[2] = {-INFINITY, -INFINITY};  // scaled, base 2
  float total[2] = {0, 0};                // this lane's columns only, until sum_totals
  float out[kDim / 8][4] = {};

  __device__ void sum_totals() {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      total[h] += __shfl_xor_sync(~0U, total[h], 1);
      total[h] += __shfl_xor_sync(~0U, total[h], 2);
    }
  }
};

// Where packed row `packed` of the item's KV head begins in q or out.
template <int kDim>
__device__ __forceinline__ int64_t row_offset(const AttendParams& p, const AttendItem& item,
                                              int first_token, int packed, int64_t stride) {
  return (first_token + packed / p.group) * stride +
         (item.kv_head * p.group + packed % p.group) * kDim;
}

// Rows [first_row, first_row + 16) of the item as operand fragments; rows past the item's are zero.
template <int kDim>
__device__ __forceinline__ void load_q(uint32_t (&q)[kDim / 16][4], const AttendParams& p,
                                       const AttendItem& item, int first_token, int first_row) {
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + g + 8 * half;
    const bool real = row < item.rows;
    const auto* from = static_cast<const __nv_bfloat16*>(p.q) +
                       row_offset<kDim>(p, item, first_token, item.row_begin + row, p.q_stride) +
                       2 * c;
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      q[k][half] = real ? *reinterpret_cast<const uint32_t*>(from + k * 16) : 0;
      q[k][half + 2] = real ? *reinterpret_cast<const uint32_t*>(from + k * 16 + 8) : 0;
    }
  }
}

// What the rows of a warp see: row g + 8 h the keys from limit[h] - window to limit[h].
struct Sight {
  int limit[2];
  int common_begin, common_end;  // keys [common_begin, common_end) are seen by all

  // Of the 16 packed rows from `first_row` on of a KV head; token 0 sees `first_sees` keys.
  __device__ Sight(const AttendParams& p, int first_sees, int first_row) {
    const int g = threadIdx.x % 32 / 4;
    for (int h = 0; h < 2; ++h) limit[h] = first_sees + (first_row + g + 8 * h) / p.group;
    common_begin = first_sees + (first_row + kDecodeRows - 1) / p.group - p.window;
    common_end = first_sees + first_row / p.group;
  }
};

// Rows `rows` against the kKeys keys in rows [first_slot, first_slot + kKeys) of the tiles, which
// `keys` names.
template <int kDim, int kTileKeys, int kKeys, typename Keys>
__device__ __forceinline__ void attend_keys(Rows<kDim>& rows, const uint32_t (&q)[kDim / 16][4],
                                            uint32_t k_tile, uint32_t v_tile, int first_slot,
                                            const Keys& keys, const Sight& sight,
                                            const AttendParams& p) {
  const int lane = threadIdx.x % 32, c = lane % 4;
  float s[kKeys / 8][4] = {};
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n) {
      // Matrices: keys 0-7 | columns 0-7, keys 0-7 | 8-15, keys 8-15 | 0-7, keys 8-15 | 8-15.
      const int row = first_slot + n * 16 + (lane / 16) * 8 + lane % 8;
      uint32_t b[4];
      ldmatrix_x4(b, k_tile + tile_offset<kDim, kTileKeys>(row, k * 16, lane / 8 % 2));
      mma_16816(s[2 * n], q[k], b[0], b[1]);
      mma_16816(s[2 * n + 1], q[k], b[2], b[3]);
    }
  }
  const bool masked = !keys.all_in(sight.common_begin, sight.common_end, kKeys);
  if (p.raw_cap > 0) {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s[n][i] = soft_cap(s[n][i], p.raw_cap, p.raw_cap_exponent);
    }
  }
  float best[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
    const int2 pair = keys.pair(n * 8 + 2 * c);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      s[n][i] *= p.scale_log2;
      const int key = i % 2 == 0 ? pair.x : pair.y, limit = sight.limit[i / 2];
      if (masked && (key >= limit || key < limit - p.window)) s[n][i] = -INFINITY;
      best[i / 2] = fmaxf(best[i / 2], s[n][i]);
    }
  }
  float keep[2], base[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    best[h] = fmaxf(best[h], __shfl_xor_sync(~0U, best[h], 1));
    best[h] = fmaxf(best[h], __shfl_xor_sync(~0U, best[h], 2));
    const float new_max = fmaxf(rows.max[h], best[h]);
    base[h] =
        new_max == -INFINITY ? 0.0F : new_max;  // no visible key yet: keep exp2(-inf) = 0, not NaN
    keep[h] = exp2_approx(rows.max[h] - base[h]);
    rows.max[h] = new_max;
    rows.total[h] *= keep[h];
  }
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      s[n][i] = exp2_approx(s[n][i] - base[i / 2]);
      rows.total[i / 2] += s[n][i];
    }
  }
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) rows.out[n][i] *= keep[i / 2];
  }
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    const uint32_t prob[4] = {
        pack_bf16(s[2 * k][0], s[2 * k][1]), pack_bf16(s[2 * k][2], s[2 * k][3]),
        pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]), pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      uint32_t b[4];
      const int row = first_slot + k * 16 + lane % 16;
      ldmatrix_x4_transposed(b, v_tile + tile_offset<kDim, kTileKeys>(row, n * 16, lane / 16));
      mma_16816(rows.out[2 * n], prob, b[0], b[1]);
      mma_16816(rows.out[2 * n + 1], prob, b[2], b[3]);
    }
  }
}

// Merges the states of kWarps warps that saw different keys of the same 16 rows, and writes the
// output rows or the item's f32 partial. `shared` holds merge_floats floats.
template <int kDim, int kWarps>
constexpr int merge_floats() {
  return kWarps * kDecodeRows * (kDim + 4 + 2);
}
template <int kDim, int kWarps>
__device__ void merge_warps(Rows<kDim>& rows, const AttendParams& p, const AttendItem& item,
                            int first_token, float* shared, int barrier) {
  constexpr int kThreads = kWarps * 32;
  constexpr int kStride = kDim + 4;  // keeps rows off each other's banks
  float* shared_max = shared + kWarps * kDecodeRows * kStride;
  float* shared_total = shared_max + kWarps * kDecodeRows;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c = lane % 4;
  rows.sum_totals();
  named_barrier_sync(barrier, kThreads);  // everybody is done with what lay in `shared`
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = warp * kDecodeRows + g + 8 * h;
    if (c == 0) {
      shared_max[row] = rows.max[h];
      shared_total[row] = rows.total[h];
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(shared + row * kStride + n * 8 + 2 * c) =
          make_float2(rows.out[n][2 * h], rows.out[n][2 * h + 1]);
    }
  }
  named_barrier_sync(barrier, kThreads);
  constexpr int kTeam = kThreads / kDecodeRows;  // threads that share a row
  constexpr int kColumns = kDim / kTeam;
  const int row = threadIdx.x / kTeam, col = threadIdx.x % kTeam * kColumns;
  if (row >= item.rows) return;
  float max = -INFINITY, total = 0, sum[kColumns] = {};
  for (int w = 0; w < kWarps; ++w) max = fmaxf(max, shared_max[w * kDecodeRows + row]);
  for (int w = 0; w < kWarps; ++w) {
    const float part_max = shared_max[w * kDecodeRows + row];
    if (part_max == -INFINITY) continue;
    const float weight = exp2_approx(part_max - max);
    total += weight * shared_total[w * kDecodeRows + row];
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      sum[i] += weight * shared[(w * kDecodeRows + row) * kStride + col + i];
  }
  if (item.partial >= 0) {
    const int64_t slot_row = int64_t{item.partial} * kDecodeRows + row;
    if (col == 0) {
      p.partial_max[slot_row] = max;
      p.partial_total[slot_row] = total;
    }
#pragma unroll
    for (int i = 0; i < kColumns; ++i) p.partial_sums[slot_row * kDim + col + i] = sum[i];
    return;
  }
  auto* out = static_cast<__nv_bfloat16*>(p.out) +
              row_offset<kDim>(p, item, first_token, item.row_begin + row, p.out_stride) + col;
  const float inverse = total > 0 ? 1.0F / total : 0.0F;
#pragma unroll
  for (int i = 0; i < kColumns; i += 2) {
    *reinterpret_cast<uint32_t*>(out + i) = pack_bf16(sum[i] * inverse, sum[i + 1] * inverse);
  }
}

}  // namespace sluice::cuda
