// Attention for many query rows: the compute-bound case, on Hopper's warpgroup tensor cores.
//
//   warpgroup 0 (producer)     one thread bulk-copies tiles of 128 keys (two blocks) into two
//   stages warpgroups 1, 2            64 packed rows each: S = Q K^T, online softmax, O += P V
//
// Tiles go from the last keys to the first, so the masked ones come first. Within a warpgroup the
// next tile's S is issued before this tile's P V, so that softmax runs under a matrix product;
// between the two, a pair of named barriers makes them take turns (source of both:
// FlashAttention-3, arXiv:2407.08608).
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {
namespace {

constexpr int kWarpgroup = 128;
constexpr int kConsumerGroups = 2;
constexpr int kThreads = kWarpgroup * (1 + kConsumerGroups);
constexpr int kGroupRows = kPrefillRows / kConsumerGroups;
constexpr int kTileKeys = 2 * kBlockTokens;
constexpr int kStages = 2;
// Registers of the 65,536 that 384 threads share: 24 * 128 + 240 * 256 = 64,512.
constexpr int kProducerRegisters = 24;
constexpr int kConsumerRegisters = 240;
// Named barriers: 0 is __syncthreads; 1, 2 the consumers' turns; 3, 4 one warpgroup alone.
constexpr int kTurnBarrier = 1;
constexpr int kOwnBarrier = 3;

template <int kDim>
struct Shape {
  static constexpr int kPanels = kDim / kPanelColumns;
  static constexpr int kTilePanelBytes = 2 * kPanelBytes;       // 128 keys x 64 columns
  static constexpr int kTileBytes = kPanels * kTilePanelBytes;  // K or V
  static constexpr int kQueryBytes = kPrefillRows * kDim * 2;
  static constexpr int kSharedBytes = kQueryBytes + kStages * 2 * kTileBytes;
};

struct Barriers {
  uint64_t k_full[kStages], v_full[kStages];
  uint64_t k_empty[kStages], v_empty[kStages];
};

// Copies the two blocks of tile `index` side by side: [panel][128 keys][64 columns].
template <int kDim>
__device__ void copy_tile(uint8_t* to, const std::byte* first, const std::byte* second,
                          uint64_t* full) {
  using S = Shape<kDim>;
  mbarrier_expect_bytes(full, S::kTileBytes);
#pragma unroll
  for (int panel = 0; panel < S::kPanels; ++panel) {
    bulk_copy(to + panel * S::kTilePanelBytes, first + panel * kPanelBytes, kPanelBytes, full);
    bulk_copy(to + panel * S::kTilePanelBytes + kPanelBytes, second + panel * kPanelBytes,
              kPanelBytes, full);
  }
}

template <int kDim>
__device__ void produce(const AttendParams& p, const AttendItem& item, uint8_t* stages,
                        Barriers& barriers) {
  using S = Shape<kDim>;
  const BlockId* blocks = p.batch.blocks + p.batch.block_indptr[item.seq];
  const int tiles = (item.block_end - item.block_begin + 1) / 2;
  for (int i = 0; i < tiles; ++i) {
    const int block = item.block_begin + 2 * (tiles - 1 - i);
    const BlockId first = blocks[block];
    // An odd range ends in half a tile: its second half is masked, and filled with what is there.
    const BlockId second = block + 1 < item.block_end ? blocks[block + 1] : first;
    const int stage = i % kStages;
    const uint32_t free_phase = (i / kStages & 1) ^ 1;
    uint8_t* k_tile = stages + stage * 2 * S::kTileBytes;
    mbarrier_wait(&barriers.k_empty[stage], free_phase);
    copy_tile<kDim>(k_tile, p.kv.k_tile(first, item.kv_head), p.kv.k_tile(second, item.kv_head),
                    &barriers.k_full[stage]);
    mbarrier_wait(&barriers.v_empty[stage], free_phase);
    copy_tile<kDim>(k_tile + S::kTileBytes, p.kv.v_tile(first, item.kv_head),
                    p.kv.v_tile(second, item.kv_head), &barriers.v_full[stage]);
  }
}

// This warpgroup's 64 rows of Q into shared memory, swizzled; rows past the item's are zero.
template <int kDim>
__device__ void load_q(uint8_t* to, const AttendParams& p, const AttendItem& item, int first_token,
                       int group) {
  constexpr int kChunks = kDim / 8;
  for (int i = threadIdx.x % kWarpgroup; i < kGroupRows * kChunks; i += kWarpgroup) {
    const int row = group * kGroupRows + i / kChunks, chunk = i % kChunks;
    const int packed = item.row_begin + row;
    uint4 value = make_uint4(0, 0, 0, 0);
    if (row < item.rows) {
      value = *reinterpret_cast<const uint4*>(
          static_cast<const __nv_bfloat16*>(p.q) + (first_token + packed / p.group) * p.q_stride +
          (item.kv_head * p.group + packed % p.group) * kDim + chunk * 8);
    }
    const int at = (chunk / 8) * kPrefillRows * 128 + row * 128 + ((chunk % 8) ^ (row & 7)) * 16;
    *reinterpret_cast<uint4*>(to + at) = value;
  }
  fence_async_proxy();
  named_barrier_sync(kOwnBarrier + group, kWarpgroup);
}

// What a thread holds of its warpgroup's 64 rows: rows g and g + 8 of its warp's sixteen.
template <int kDim>
struct State {
  float scores[kTileKeys / 2];  // m64n128 accumulator
  float out[kDim / 2] = {};     // m64nDim accumulator
  uint32_t probs[kTileKeys / 16][4];
  float max[2] = {-INFINITY, -INFINITY};
  float total[2] = {0, 0};
  int limit[2];
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
        swizzled_operand(k_tile + panel * Shape<kDim>::kTilePanelBytes + offset, 16, 1024), k > 0);
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
    const uint64_t v = swizzled_operand(v_tile + k * 16 * 128, Shape<kDim>::kTilePanelBytes, 1024);
    if constexpr (kDim == 128) {
      wgmma_m64n128k16_rs(out, probs[k], v, true);
    } else {
      wgmma_m64n64k16_rs(out, probs[k], v, true);
    }
  }
  wgmma_commit();
}

// Scores of one tile to probabilities (left in `scores`); returns the factors that `out` must be
// scaled by.
template <int kDim>
__device__ __forceinline__ void softmax(State<kDim>& s, float (&keep)[2], int first_key,
                                        int visible_to_all, float scale_log2) {
  const int c = threadIdx.x % 4;
  if (first_key + kTileKeys > visible_to_all) {
#pragma unroll
    for (int i = 0; i < kTileKeys / 2; ++i) {
      const int key = first_key + i / 4 * 8 + 2 * c + i % 2;
      if (key >= s.limit[i / 2 % 2]) s.scores[i] = -INFINITY;
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
__device__ __forceinline__ void pack_probs(State<kDim>& s) {
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
    const int at = chunk / 8 * Shape<kDim>::kTilePanelBytes + row * 128 + chunk % 8 * 16;
    *reinterpret_cast<uint4*>(v_tile + at) = make_uint4(0, 0, 0, 0);
  }
  fence_async_proxy();
  named_barrier_sync(kOwnBarrier + group, kWarpgroup);
}

template <int kDim>
__device__ void write_rows(State<kDim>& s, const AttendParams& p, const AttendItem& item,
                           int first_token, int group) {
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
                (first_token + packed / p.group) * p.out_stride +
                (item.kv_head * p.group + packed % p.group) * kDim + 2 * c;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + n * 8) =
          pack_bf16(s.out[4 * n + 2 * h] * inverse, s.out[4 * n + 2 * h + 1] * inverse);
    }
  }
}

template <int kDim>
__device__ void consume(const AttendParams& p, const AttendItem& item, uint8_t* query,
                        uint8_t* stages, Barriers& barriers, int group) {
  using S = Shape<kDim>;
  const int first_token = p.batch.q_indptr[item.seq];
  const int q_len = p.batch.q_indptr[item.seq + 1] - first_token,
            kv_len = p.batch.kv_lens[item.seq];
  const int before = kv_len - q_len + 1;  // keys that the first token sees
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  State<kDim> s;
  const int end = item.block_end * kBlockTokens;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = item.row_begin + group * kGroupRows + warp * 16 + lane / 4 + 8 * h;
    s.limit[h] = min(before + row / p.group, end);
  }
  const int visible_to_all = min(before + (item.row_begin + group * kGroupRows) / p.group, end);
  load_q<kDim>(query, p, item, first_token, group);
  const uint32_t q = smem_address(query) + group * kGroupRows * 128;
  const int tiles = (item.block_end - item.block_begin + 1) / 2;
  const auto first_key = [&](int i) {
    return (item.block_begin + 2 * (tiles - 1 - i)) * kBlockTokens;
  };
  const auto k_tile = [&](int i) { return stages + i % kStages * 2 * S::kTileBytes; };
  const bool signals = threadIdx.x % kWarpgroup == 0;
  float keep[2];

  if (group == 1) named_barrier_arrive(kTurnBarrier, 2 * kWarpgroup);  // group 0 has the first turn
  mbarrier_wait(&barriers.k_full[0], 0);
  issue_scores<kDim>(s.scores, q, smem_address(k_tile(0)));
  wgmma_wait<0>();
  wgmma_touch(s.scores);
  if (signals) mbarrier_arrive(&barriers.k_empty[0]);
  softmax<kDim>(s, keep, first_key(0), visible_to_all, p.scale_log2);
  pack_probs<kDim>(s);
  mbarrier_wait(&barriers.v_full[0], 0);
  if (first_key(0) + kTileKeys > kv_len) {
    clear_unused_values<kDim>(k_tile(0) + S::kTileBytes, max(kv_len - first_key(0), 0), group);
  }
  for (int i = 0; i + 1 < tiles; ++i) {
    const int stage = i % kStages, next = (i + 1) % kStages;
    mbarrier_wait(&barriers.k_full[next], (i + 1) / kStages & 1);
    mbarrier_wait(&barriers.v_full[stage], i / kStages & 1);
    named_barrier_sync(kTurnBarrier + group, 2 * kWarpgroup);
    issue_scores<kDim>(s.scores, q, smem_address(k_tile(i + 1)));
    issue_values<kDim>(s.out, s.probs, smem_address(k_tile(i) + S::kTileBytes));
    named_barrier_arrive(kTurnBarrier + (group ^ 1), 2 * kWarpgroup);
    wgmma_wait<1>();
    wgmma_touch(s.scores);
    if (signals) mbarrier_arrive(&barriers.k_empty[next]);
    softmax<kDim>(s, keep, first_key(i + 1), visible_to_all, p.scale_log2);
    wgmma_wait<0>();
    wgmma_touch(s.out);
    if (signals) mbarrier_arrive(&barriers.v_empty[stage]);
#pragma unroll
    for (int j = 0; j < kDim / 2; ++j) s.out[j] *= keep[j / 2 % 2];
    pack_probs<kDim>(s);
  }
  const int last = (tiles - 1) % kStages;
  mbarrier_wait(&barriers.v_full[last], (tiles - 1) / kStages & 1);
  issue_values<kDim>(s.out, s.probs, smem_address(k_tile(tiles - 1) + S::kTileBytes));
  wgmma_wait<0>();
  wgmma_touch(s.out);
  // The other group's last turn was announced to this one: take it, so that no barrier is left half
  // full.
  if (group == 0) named_barrier_sync(kTurnBarrier, 2 * kWarpgroup);
  allow_next_kernel();
  write_rows<kDim>(s, p, item, first_token, group);
}

// ---- kernel ------------------------------------------------------------------------------------

template <int kDim>
__global__ void __launch_bounds__(kThreads, 1)
    prefill_kernel(const AttendParams p, const AttendItem* items) {
  using S = Shape<kDim>;
  extern __shared__ __align__(1024) uint8_t shared[];
  __shared__ Barriers barriers;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(&barriers.k_full[i], 1);
      mbarrier_init(&barriers.v_full[i], 1);
      mbarrier_init(&barriers.k_empty[i], kConsumerGroups);
      mbarrier_init(&barriers.v_empty[i], kConsumerGroups);
    }
    fence_barrier_init();
  }
  __syncthreads();
  wait_for_previous_kernel();
  const AttendItem item = items[blockIdx.x];
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    lower_registers<kProducerRegisters>();
    if (threadIdx.x == 0) produce<kDim>(p, item, shared + S::kQueryBytes, barriers);
  } else {
    raise_registers<kConsumerRegisters>();
    consume<kDim>(p, item, shared, shared + S::kQueryBytes, barriers, warpgroup - 1);
  }
}

template <int kDim>
void launch_dim(const AttendParams& params, const AttendItem* items, int num_items,
                cudaStream_t stream) {
  SLUICE_CUDA_CHECK(cudaFuncSetAttribute(prefill_kernel<kDim>,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         Shape<kDim>::kSharedBytes));
  launch(prefill_kernel<kDim>, dim3(num_items), kThreads, Shape<kDim>::kSharedBytes, stream, params,
         items);
}

}  // namespace

// ---- launcher ----------------------------------------------------------------------------------

void launch_prefill(const AttendParams& params, const AttendItem* items, int num_items,
                    cudaStream_t stream) {
  if (num_items == 0) return;
  if (params.kv.head_dim == 64) return launch_dim<64>(params, items, num_items, stream);
  SLUICE_CHECK_EQ(params.kv.head_dim, 128);
  launch_dim<128>(params, items, num_items, stream);
}

}  // namespace sluice::cuda
