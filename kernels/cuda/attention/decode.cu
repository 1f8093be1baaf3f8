// Attention for few query rows: the memory-bound case. One block of threads reads one item's K and
// V once.
//
//   warp 4 (producer)   bulk-copies block after block into a ring of stages: K tile, V tile
//   warps 0..3          each takes 16 of a block's 64 keys: S = Q K^T (m16n8k16), online softmax, O
//   += P V at the end          the four partial (max, sum, O) are merged through shared memory
//
// All query rows of a KV head (up to 16) are one tensor-core tile, so K and V are read once a
// group.
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {
namespace {

constexpr int kConsumerWarps = 4;
constexpr int kConsumers = kConsumerWarps * 32;
constexpr int kThreads = kConsumers + 32;
constexpr int kKeysOfWarp = kBlockTokens / kConsumerWarps;
constexpr int kConsumerBarrier = 1;

template <int kDim>
struct Shape {
  static constexpr int kTileBytes = kBlockTokens * kDim * 2;
  static constexpr int kStageBytes = 2 * kTileBytes;
  // Two blocks of threads share an SM: 2 x 96 KB of the 227 KB are ring, 190 KB in flight.
  static constexpr int kStages = 96 * 1024 / kStageBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kColumnPad = 4;  // keeps the merge's rows off each other's banks
};

template <int kStages>
struct Ring {
  uint64_t full[kStages];
  uint64_t empty[kStages];
};

// The producer warp's whole life: one lane issues, all fetch block ids 32 at a time. Blocks that
// this step writes no token into are loaded while the kernel before, which appends this step's
// keys, still runs.
template <int kDim>
__device__ void produce(const AttendParams& p, const AttendItem& item, uint8_t* stages,
                        Ring<Shape<kDim>::kStages>& ring) {
  using S = Shape<kDim>;
  const int lane = threadIdx.x % 32;
  const BlockId* blocks = p.batch.blocks + p.batch.block_indptr[item.seq] + item.block_begin;
  const int count = item.block_end - item.block_begin;
  const int q_len = p.batch.q_indptr[item.seq + 1] - p.batch.q_indptr[item.seq];
  const int settled = (p.batch.kv_lens[item.seq] - q_len) / kBlockTokens - item.block_begin;
  bool waited = false;
  BlockId ids = lane < count ? blocks[lane] : 0;
  for (int i = 0; i < count; ++i) {
    if (!waited && i >= settled) {
      wait_for_previous_kernel();
      waited = true;
    }
    if (i > 0 && i % 32 == 0) ids = i + lane < count ? blocks[i + lane] : 0;
    const BlockId block = __shfl_sync(~0U, ids, i % 32);
    if (lane == 0) {
      const int stage = i % S::kStages;
      uint8_t* to = stages + stage * S::kStageBytes;
      mbarrier_wait(&ring.empty[stage], (i / S::kStages & 1) ^ 1);
      mbarrier_expect_bytes(&ring.full[stage], S::kStageBytes);
      bulk_copy(to, p.kv.k_tile(block, item.kv_head), S::kTileBytes, &ring.full[stage]);
      bulk_copy(to + S::kTileBytes, p.kv.v_tile(block, item.kv_head), S::kTileBytes,
                &ring.full[stage]);
    }
    __syncwarp();
  }
}

// Softmax state and output of one warp: rows g = lane / 4 and g + 8 of the tile.
template <int kDim>
struct Rows {
  float max[2] = {-INFINITY, -INFINITY};  // scaled, base 2
  float total[2] = {0, 0};                // this lane's columns only, until the end
  float out[kDim / 8][4] = {};
};

template <int kDim>
__device__ void load_q(uint32_t (&q)[kDim / 16][4], const AttendParams& p, const AttendItem& item,
                       int first_token) {
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = item.row_begin + g + 8 * half;
    const bool real = g + 8 * half < item.rows;
    const auto* from = static_cast<const __nv_bfloat16*>(p.q) +
                       (first_token + row / p.group) * p.q_stride +
                       (item.kv_head * p.group + row % p.group) * kDim + 2 * c;
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      q[k][half] = real ? *reinterpret_cast<const uint32_t*>(from + k * 16) : 0;
      q[k][half + 2] = real ? *reinterpret_cast<const uint32_t*>(from + k * 16 + 8) : 0;
    }
  }
}

__device__ uint32_t swizzled_address(uint32_t tile, int row, int col) {
  return tile + (col / kPanelColumns) * kPanelBytes + row * 128 +
         (((col % kPanelColumns / 8) ^ (row & 7)) * 16);
}

// One block of keys; `first_key` is the position of this warp's first key, `limit` what each row
// may see.
template <int kDim>
__device__ void attend_block(Rows<kDim>& rows, const uint32_t (&q)[kDim / 16][4], uint32_t k_tile,
                             uint32_t v_tile, int first_key, const int (&limit)[2],
                             float scale_log2, bool masked) {
  const int lane = threadIdx.x % 32, c = lane % 4;
  const int key_row = threadIdx.x / 32 * kKeysOfWarp + lane % 16;
  float s[2][4] = {};
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    // Matrices: keys 0-7 | columns 0-7, keys 0-7 | 8-15, keys 8-15 | 0-7, keys 8-15 | 8-15.
    const int row = threadIdx.x / 32 * kKeysOfWarp + (lane / 16) * 8 + lane % 8;
    const int col = k * 16 + (lane / 8 % 2) * 8;
    uint32_t b[4];
    ldmatrix_x4(b, swizzled_address(k_tile, row, col));
    mma_16816(s[0], q[k], b[0], b[1]);
    mma_16816(s[1], q[k], b[2], b[3]);
  }
  float best[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      s[n][i] *= scale_log2;
      if (masked && first_key + n * 8 + 2 * c + i % 2 >= limit[i / 2]) s[n][i] = -INFINITY;
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
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      s[n][i] = exp2_approx(s[n][i] - base[i / 2]);
      rows.total[i / 2] += s[n][i];
    }
  }
  const uint32_t prob[4] = {pack_bf16(s[0][0], s[0][1]), pack_bf16(s[0][2], s[0][3]),
                            pack_bf16(s[1][0], s[1][1]), pack_bf16(s[1][2], s[1][3])};
#pragma unroll
  for (int n = 0; n < kDim / 16; ++n) {
    uint32_t b[4];
    ldmatrix_x4_transposed(b, swizzled_address(v_tile, key_row, n * 16 + (lane / 16) * 8));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      rows.out[2 * n][i] *= keep[i / 2];
      rows.out[2 * n + 1][i] *= keep[i / 2];
    }
    mma_16816(rows.out[2 * n], prob, b[0], b[1]);
    mma_16816(rows.out[2 * n + 1], prob, b[2], b[3]);
  }
}

// Zeroes this warp's V rows from position `end` on: 0 * NaN of an unused slot would be NaN.
template <int kDim>
__device__ void clear_unused_values(uint8_t* v_tile, int first_key, int end) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int i = lane; i < kKeysOfWarp * kDim / 8; i += 32) {
    const int row = i / (kDim / 8), col = i % (kDim / 8) * 8;
    if (first_key + row < end) continue;
    const int at = kv_tile_index(warp * kKeysOfWarp + row, col) * 2;
    *reinterpret_cast<uint4*>(v_tile + at) = make_uint4(0, 0, 0, 0);
  }
  __syncwarp();
}

// Merges the four warps' states and writes the output rows, or the item's f32 partial.
template <int kDim>
__device__ void finish(Rows<kDim>& rows, const AttendParams& p, const AttendItem& item,
                       int first_token, float* shared) {
  constexpr int kStride = kDim + Shape<kDim>::kColumnPad;
  float* shared_max = shared + kConsumerWarps * kDecodeRows * kStride;
  float* shared_total = shared_max + kConsumerWarps * kDecodeRows;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c = lane % 4;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    rows.total[h] += __shfl_xor_sync(~0U, rows.total[h], 1);
    rows.total[h] += __shfl_xor_sync(~0U, rows.total[h], 2);
  }
  named_barrier_sync(kConsumerBarrier, kConsumers);  // everybody is done with the stages
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
  named_barrier_sync(kConsumerBarrier, kConsumers);
  constexpr int kColumns = kDim / 8;  // of one thread; eight threads share a row
  const int row = threadIdx.x / 8, col = threadIdx.x % 8 * kColumns;
  if (row >= item.rows) return;
  float max = -INFINITY, total = 0, sum[kColumns] = {};
  for (int w = 0; w < kConsumerWarps; ++w) max = fmaxf(max, shared_max[w * kDecodeRows + row]);
  for (int w = 0; w < kConsumerWarps; ++w) {
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
  const int packed = item.row_begin + row;
  auto* out = static_cast<__nv_bfloat16*>(p.out) + (first_token + packed / p.group) * p.out_stride +
              (item.kv_head * p.group + packed % p.group) * kDim + col;
  const float inverse = total > 0 ? 1.0F / total : 0.0F;
#pragma unroll
  for (int i = 0; i < kColumns; i += 2) {
    *reinterpret_cast<uint32_t*>(out + i) = pack_bf16(sum[i] * inverse, sum[i + 1] * inverse);
  }
}

// ---- kernel ------------------------------------------------------------------------------------

template <int kDim>
__global__ void __launch_bounds__(kThreads, 2)
    decode_kernel(const AttendParams p, const AttendItem* items) {
  using S = Shape<kDim>;
  extern __shared__ __align__(1024) uint8_t stages[];
  __shared__ Ring<S::kStages> ring;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kStages; ++i) {
      mbarrier_init(&ring.full[i], 1);
      mbarrier_init(&ring.empty[i], kConsumerWarps);
    }
    fence_barrier_init();
  }
  __syncthreads();
  // Items and batch were uploaded before the step's first kernel.
  const AttendItem item = items[blockIdx.x];
  if (threadIdx.x >= kConsumers) {
    produce<kDim>(p, item, stages, ring);
    return;
  }
  wait_for_previous_kernel();
  const int first_token = p.batch.q_indptr[item.seq];
  const int q_len = p.batch.q_indptr[item.seq + 1] - first_token,
            kv_len = p.batch.kv_lens[item.seq];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int limit[2];
  for (int h = 0; h < 2; ++h) {
    limit[h] = kv_len - q_len + (item.row_begin + lane / 4 + 8 * h) / p.group + 1;
  }
  const int always_visible = kv_len - q_len + item.row_begin / p.group + 1;  // to every row
  uint32_t q[kDim / 16][4];
  load_q<kDim>(q, p, item, first_token);
  Rows<kDim> rows;
  const int count = item.block_end - item.block_begin;
  for (int i = 0; i < count; ++i) {
    const int stage = i % S::kStages;
    const int first_key = (item.block_begin + i) * kBlockTokens + warp * kKeysOfWarp;
    uint8_t* k_tile = stages + stage * S::kStageBytes;
    mbarrier_wait(&ring.full[stage], i / S::kStages & 1);
    const bool masked = first_key + kKeysOfWarp > always_visible;
    if (first_key + kKeysOfWarp > kv_len)
      clear_unused_values<kDim>(k_tile + S::kTileBytes, first_key, kv_len);
    attend_block<kDim>(rows, q, smem_address(k_tile), smem_address(k_tile + S::kTileBytes),
                       first_key, limit, p.scale_log2, masked);
    __syncwarp();
    if (lane == 0) mbarrier_arrive(&ring.empty[stage]);
  }
  allow_next_kernel();
  finish<kDim>(rows, p, item, first_token, reinterpret_cast<float*>(stages));
}

template <int kDim>
void launch_dim(const AttendParams& params, const AttendItem* items, int num_items,
                cudaStream_t stream) {
  SLUICE_CUDA_CHECK(cudaFuncSetAttribute(
      decode_kernel<kDim>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape<kDim>::kSharedBytes));
  launch(decode_kernel<kDim>, dim3(num_items), kThreads, Shape<kDim>::kSharedBytes, stream, params,
         items);
}

}  // namespace

// ---- launcher ----------------------------------------------------------------------------------

void launch_decode(const AttendParams& params, const AttendItem* items, int num_items,
                   cudaStream_t stream) {
  if (num_items == 0) return;
  if (params.kv.head_dim == 64) return launch_dim<64>(params, items, num_items, stream);
  SLUICE_CHECK_EQ(params.kv.head_dim, 128);
  launch_dim<128>(params, items, num_items, stream);
}

}  // namespace sluice::cuda
