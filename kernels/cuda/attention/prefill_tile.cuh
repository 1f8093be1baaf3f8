// One warpgroup's part of a prefill tile: 64 packed rows against 128 keys on Hopper's tensor cores.
#pragma once

#include "kernels/cuda/attention/visible_keys.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {

inline constexpr int kWarpgroup = 128;
inline constexpr int kConsumerGroups = 2;
inline constexpr int kGroupRows = kPrefillRows / kConsumerGroups;
inline constexpr int kTileKeys = 2 * kBlockTokens;
inline constexpr int kOwnBarrier = 3;  // and 4: named barriers of one warpgroup alone

// Q, K and V tiles in shared memory: panels of 64 columns, each [rows][128 bytes], swizzled.
template <int kDim>
struct PrefillShape {
  static constexpr int kPanels = kDim / kPanelColumns;
  static constexpr int kTilePanelBytes = 2 * kPanelBytes;
  static constexpr int kTileBytes = kPanels * kTilePanelBytes;  // K or V
  static constexpr int kQueryBytes = kPrefillRows * kDim * 2;
};

// An item with what its warps need of the batch.
struct PrefillContext {
  AttendItem item;
  int first_token = 0;  // of the sequence
  int first_sees = 0;   // keys that this token sees
  int kv_len = 0;
  bool last = false;  // of this block of threads
};

// What a thread holds of its warpgroup's 64 rows: rows g and g + 8 of its warp's sixteen.
template <int kDim>
struct PrefillState {
  float scores[kTileKeys / 2];  // m64n128 accumulator
  float out[kDim / 2] = {};     // m64nDim accumulator
  uint32_t probs[kTileKeys / 16][4];
  float max[2] = {-INFINITY, -INFINITY};
  float total[2] = {0, 0};
  int first[2], limit[2];  // rows see keys [first, limit)
};

template <int kDim>
__device__ __forceinline__ void issue_scores(float (&scores)[kTileKeys / 2], uint32_t q,
                                             uint32_t k_tile) {
  wgmma_touch(scores);
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    const int panel = k / 4, offset = k % 4 * 32;  // 16 columns are 32 bytes of a panel's row
    wgmma_m64n128k16_ss(
        scores, swizzled_operand(q + panel * kPrefillRows * 128 + offset, 16, 1024),
        swizzled_operand(k_tile + panel * PrefillShape<kDim>::kTilePanelBytes + offset, 16, 1024),
        k > 0);
  }
  wgmma_commit();
}

template <int kDim>
__device__ __forceinline__ void issue_values(float (&out)[kDim / 2],
                                             const uint32_t (&probs)[kTileKeys / 16][4],
                                             uint32_t v_tile) {
  wgmma_touch(out);
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < kTileKeys / 16; ++k) {
    const uint64_t v =
        swizzled_operand(v_tile + k * 16 * 128, PrefillShape<kDim>::kTilePanelBytes, 1024);
    if constexpr (kDim == 128) {
      wgmma_m64n128k16_rs(out, probs[k], v, true);
    } else {
      wgmma_m64n64k16_rs(out, probs[k], v, true);
    }
  }
  wgmma_commit();
}

// Scores of one tile to probabilities (left in `scores`); returns the factors that `out` must be
// scaled by. kShaped: there may be a window or a soft cap; `common` is what all rows see.
template <bool kShaped, int kDim, typename Keys>
__device__ __forceinline__ void softmax(PrefillState<kDim>& s, float (&keep)[2], const Keys& keys,
                                        KeyRange common, const AttendParams& p) {
  const float scale_log2 = p.scale_log2;
  if (kShaped && p.raw_cap > 0) {
#pragma unroll
    for (float& score : s.scores) score = soft_cap(score, p.raw_cap, p.raw_cap_exponent);
  }
  if (!keys.all_in(kShaped ? common.begin : 0, common.end, kTileKeys)) {
    const int c = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < kTileKeys / 8; ++i) {
      const int2 pair = keys.pair(8 * i + 2 * c);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int first = kShaped ? s.first[h] : 0;
        if (pair.x >= s.limit[h] || pair.x < first) s.scores[4 * i + 2 * h] = -INFINITY;
        if (pair.y >= s.limit[h] || pair.y < first) s.scores[4 * i + 2 * h + 1] = -INFINITY;
      }
    }
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float best = s.max[h];
#pragma unroll
    for (int i = 0; i < kTileKeys / 8; ++i)
      best = fmaxf(best, fmaxf(s.scores[4 * i + 2 * h], s.scores[4 * i + 2 * h + 1]));
    best = fmaxf(best, __shfl_xor_sync(~0U, best, 1));
    best = fmaxf(best, __shfl_xor_sync(~0U, best, 2));
    const float base = best == -INFINITY ? 0.0F : best * scale_log2;  // no visible key yet: no NaN
    keep[h] = exp2_approx(s.max[h] * scale_log2 - base);
    s.max[h] = best;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kTileKeys / 8; ++i) {
#pragma unroll
      for (int j = 4 * i + 2 * h; j < 4 * i + 2 * h + 2; ++j) {
        s.scores[j] = exp2_approx(fmaf(s.scores[j], scale_log2, -base));
        sum += s.scores[j];
      }
    }
    s.total[h] = s.total[h] * keep[h] + sum;
  }
}

template <int kDim>
__device__ __forceinline__ void pack_probs(PrefillState<kDim>& s) {
#pragma unroll
  for (int k = 0; k < kTileKeys / 16; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      s.probs[k][i] = pack_bf16(s.scores[8 * k + 2 * i], s.scores[8 * k + 2 * i + 1]);
  }
}

// Zeroes V rows of unused slots (0 * NaN would be NaN). Both warpgroups may write the same zeros.
template <int kDim>
__device__ void clear_unused_values(uint8_t* v_tile, int first_unused, int group) {
  constexpr int kChunks = kDim / 8;
  for (int i = threadIdx.x % kWarpgroup; i < (kTileKeys - first_unused) * kChunks;
       i += kWarpgroup) {
    const int row = first_unused + i / kChunks, chunk = i % kChunks;
    const int at = chunk / 8 * PrefillShape<kDim>::kTilePanelBytes + row * 128 + chunk % 8 * 16;
    *reinterpret_cast<uint4*>(v_tile + at) = make_uint4(0, 0, 0, 0);
  }
  fence_async_proxy();
  named_barrier_sync(kOwnBarrier + group, kWarpgroup);
}

template <int kDim>
__device__ void write_rows(PrefillState<kDim>& s, const AttendParams& p,
                           const PrefillContext& context, int group) {
  const AttendItem& item = context.item;
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4, warp = threadIdx.x / 32 % 4;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    s.total[h] += __shfl_xor_sync(~0U, s.total[h], 1);
    s.total[h] += __shfl_xor_sync(~0U, s.total[h], 2);
    const int row = group * kGroupRows + warp * 16 + g + 8 * h;
    if (row >= item.rows) continue;
    if (item.partial >= 0) {
      const int64_t slot_row = int64_t{item.partial} * kDecodeRows + row;
      if (c == 0) {
        p.partial_max[slot_row] = s.max[h] == -INFINITY ? -INFINITY : s.max[h] * p.scale_log2;
        p.partial_total[slot_row] = s.total[h];
      }
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        *reinterpret_cast<float2*>(p.partial_sums + slot_row * kDim + n * 8 + 2 * c) =
            make_float2(s.out[4 * n + 2 * h], s.out[4 * n + 2 * h + 1]);
      }
      continue;
    }
    const float inverse = s.total[h] > 0 ? 1.0F / s.total[h] : 0.0F;
    const int packed = item.row_begin + row;
    auto* out = static_cast<__nv_bfloat16*>(p.out) +
                (context.first_token + packed / p.group) * p.out_stride +
                (item.kv_head * p.group + packed % p.group) * kDim + 2 * c;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + n * 8) =
          pack_bf16(s.out[4 * n + 2 * h] * inverse, s.out[4 * n + 2 * h + 1] * inverse);
    }
  }
}

}  // namespace sluice::cuda
