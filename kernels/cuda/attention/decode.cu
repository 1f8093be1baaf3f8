// Attention for few query rows: the memory-bound case. One block of threads reads one item's K and
// V once.
//
//   warp 4      bulk-copies block after block, K tile and V tile, into a ring of stages
//   warps 0..3  16 of a block's 64 keys each: S = Q K^T (m16n8k16), online softmax, O += P V;
//               at the end the four partial (max, sum, O) are merged through shared memory
//
// All query rows of a KV head (up to 16) are one tensor-core tile, so K and V are read once a
// group.
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/bulk_runs.cuh"
#include "kernels/cuda/attention/row_tile.cuh"
#include "kernels/cuda/attention/visible_keys.cuh"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/dispatch.h"

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
  static_assert(merge_floats<kDim, kConsumerWarps>() * sizeof(float) <= kSharedBytes);
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

// The same for the item's slots of a run list, by the whole warp; `keys` [stages][64].
template <int kDim>
__device__ void produce_listed(const AttendParams& p, const AttendItem& item, uint8_t* stages,
                               Ring<Shape<kDim>::kStages>& ring, int (*keys)[kBlockTokens]) {
  using S = Shape<kDim>;
  constexpr int kPanels = kDim / kPanelColumns;
  const BlockId* blocks = p.batch.blocks + p.batch.block_indptr[item.seq];
  const std::byte* k_from = p.kv.k_tile(0, item.kv_head);
  const std::byte* v_from = p.kv.v_tile(0, item.kv_head);
  RunReader reader = open_list(p, item);
  for (int i = 0; i < item.block_end - item.block_begin; ++i) {
    const int begin = (item.block_begin + i) * kBlockTokens;
    const int stage = i % S::kStages;
    uint8_t* to = stages + stage * S::kStageBytes;
    uint64_t* full = &ring.full[stage];
    // The blocks are looked up before the wait for room.
    ListedTile<kBlockTokens> tile(reader, {begin, begin + kBlockTokens, blocks});
    mbarrier_wait(&ring.empty[stage], (i / S::kStages & 1) ^ 1);
    int rows = 0;  // of this lane
    bool first = true;
    do {
      tile.template copy<kPanels, kPanelBytes>(to, k_from, p.kv.block_bytes, full);
      tile.template copy<kPanels, kPanelBytes>(to + S::kTileBytes, v_from, p.kv.block_bytes, full);
      tile.store_keys(keys[stage], first);
      rows += tile.rows();
      first = false;
    } while (tile.next_window());
    mbarrier_expect_bytes(full, rows * kDim * 2 * 2);
  }
}

// Zeroes this warp's V rows from position `end` on: 0 * NaN of an unused slot would be NaN.
template <int kDim>
__device__ void clear_unused_values(uint8_t* v_tile, int first_key, int end) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int i = lane; i < kKeysOfWarp * kDim / 8; i += 32) {
    const int row = i / (kDim / 8), col = i % (kDim / 8) * 8;
    if (first_key + row < end) continue;
    const int at = kv_tile_index(warp * kKeysOfWarp + row, col, kDim) * 2;
    *reinterpret_cast<uint4*>(v_tile + at) = make_uint4(0, 0, 0, 0);
  }
  __syncwarp();
}

// ---- kernel ------------------------------------------------------------------------------------

template <int kDim, bool kLists>
__device__ void consume(const AttendParams& p, const AttendItem& item, uint8_t* stages,
                        Ring<Shape<kDim>::kStages>& ring, const int (*keys)[kBlockTokens]) {
  using S = Shape<kDim>;
  const int first_token = p.batch.q_indptr[item.seq];
  const int q_len = p.batch.q_indptr[item.seq + 1] - first_token,
            kv_len = p.batch.kv_lens[item.seq];
  const int warp = threadIdx.x / kWarp;
  const Sight sight(p, kv_len - q_len + 1, item.row_begin);
  uint32_t q[kDim / 16][4];
  load_q<kDim>(q, p, item, first_token, 0);
  Rows<kDim> rows;
  const int count = item.block_end - item.block_begin;
  for (int i = 0; i < count; ++i) {
    const int stage = i % S::kStages;
    const int first_key = (item.block_begin + i) * kBlockTokens + warp * kKeysOfWarp;
    uint8_t* k_tile = stages + stage * S::kStageBytes;
    mbarrier_wait(&ring.full[stage], i / S::kStages & 1);
    const auto attend = [&](const auto& visible) {
      attend_keys<kDim, kBlockTokens, kKeysOfWarp>(rows, q, smem_address(k_tile),
                                                   smem_address(k_tile + S::kTileBytes),
                                                   warp * kKeysOfWarp, visible, sight, p);
    };
    if constexpr (kLists) {
      attend(ListedKeys{keys[stage] + warp * kKeysOfWarp, 0});
    } else {
      if (first_key + kKeysOfWarp > kv_len)
        clear_unused_values<kDim>(k_tile + S::kTileBytes, first_key, kv_len);
      attend(DenseKeys{first_key});
    }
    mbarrier_arrive(&ring.empty[stage]);
  }
  allow_next_kernel();  // where it was not before
  merge_warps<kDim, kConsumerWarps>(rows, p, item, first_token, reinterpret_cast<float*>(stages),
                                    kConsumerBarrier);
}

template <int kDim, bool kLists>
__global__ void __launch_bounds__(kThreads, 2)
    decode_kernel(const AttendParams p, const AttendItem* items) {
  using S = Shape<kDim>;
  extern __shared__ __align__(1024) uint8_t stages[];
  __shared__ Ring<S::kStages> ring;
  __shared__ __align__(16) int keys[kLists ? S::kStages : 1][kBlockTokens];
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kStages; ++i) {
      mbarrier_init(&ring.full[i], kLists ? kWarp : 1);
      mbarrier_init(&ring.empty[i], kConsumers);
    }
    fence_barrier_init();
  }
  if constexpr (kLists) {  // gaps are never copied to, and 0 * NaN of what lay there would be NaN
    for (int i = 0; i < S::kStages; ++i)
      fill_zero(stages + i * S::kStageBytes + S::kTileBytes, S::kTileBytes, kThreads);
    fence_async_proxy();
  }
  __syncthreads();
  if constexpr (kLists) {
    wait_for_previous_kernel();
    items = p.lists.items;
  }
  // Dense items and batch were uploaded before the step's first kernel.
  const AttendItem item = items[blockIdx.x];
  if (kLists && static_cast<int>(blockIdx.x) >= p.lists.counts->decode_items) return;
  if (threadIdx.x >= kConsumers) {
    if constexpr (kLists) {
      produce_listed<kDim>(p, item, stages, ring, keys);
    } else {
      produce<kDim>(p, item, stages, ring);
    }
    return;
  }
  if constexpr (!kLists) wait_for_previous_kernel();
  // Where this leaves processors idle, the next product's weights come in beside it; elsewhere they
  // would take bandwidth from keys and values that are waited for.
  if (static_cast<int>(gridDim.x) < p.num_processors) allow_next_kernel();
  consume<kDim, kLists>(p, item, stages, ring, keys);
}

template <int kDim, bool kLists>
void launch_kernel(const AttendParams& params, const AttendItem* items, int blocks,
                   cudaStream_t stream) {
  const auto kernel = decode_kernel<kDim, kLists>;
  constexpr int kBytes = Shape<kDim>::kSharedBytes;
  SLUICE_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  launch(kernel, dim3(static_cast<unsigned>(blocks)), kThreads, kBytes, stream, params, items);
}

}  // namespace

// ---- launchers ---------------------------------------------------------------------------------

void launch_decode(const AttendParams& params, const AttendItem* items, int num_items,
                   cudaStream_t stream) {
  if (num_items == 0) return;
  dispatch_head_dim<64, 128>(params.kv.head_dim, [&](auto dim) {
    launch_kernel<decltype(dim)::value, false>(params, items, num_items, stream);
  });
}

void launch_decode_lists(const AttendParams& params, cudaStream_t stream) {
  const ListPlan& plan = params.lists;
  if (plan.num_decode_tiles == 0) return;
  dispatch_head_dim<64, 128>(params.kv.head_dim, [&](auto dim) {
    launch_kernel<decltype(dim)::value, true>(params, nullptr,
                                              plan.num_decode_tiles + plan.num_workers, stream);
  });
}

}  // namespace sluice::cuda
