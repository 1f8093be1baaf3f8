// Attention on every card with bf16 tensor cores (sm_80 on), and at every head_dim: cp.async and
// mma.sync, nothing of Hopper's. The same items, plans and partials as decode.cu and prefill.cu.
//
//   decode    the warps share the keys of a tile, for the same 16 packed rows
//   prefill   eight warps of 16 packed rows each, all keys of a tile
//
// All threads copy, two tiles ahead of what they multiply. A row of shared memory is a slot
// (run_reader.cuh): a dense sequence has slot = key.
#include "kernels/cuda/attention/row_tile.cuh"
#include "kernels/cuda/attention/visible_keys.cuh"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/dispatch.h"

namespace sluice::cuda {
namespace {

constexpr int kMergeBarrier = 1;

template <int kDim, bool kDecode>
struct Shape {
  static constexpr int kTileKeys = kDim > 128 ? 32 : 64;
  static constexpr int kKeyWarps = kDecode ? kTileKeys / 16 : 1;
  static constexpr int kRowWarps = kDecode ? 1 : kPrefillRows / 16;
  static constexpr int kThreads = kKeyWarps * kRowWarps * kWarp;
  static constexpr int kKeysOfWarp = kTileKeys / kKeyWarps;
  static constexpr int kStages = 3;
  static constexpr int kTileBytes = kTileKeys * kDim * 2;
  // At most 96 KB: what the smallest of these cards gives a block of threads is 99.
  static constexpr int kSharedBytes = kStages * 2 * kTileBytes;
  static constexpr int kKeyTables = kStages + 1;
  static_assert(merge_floats<kDim, kKeyWarps>() * sizeof(float) <= kSharedBytes);
};

template <int kDim, bool kDecode>
struct Tiles {
  using S = Shape<kDim, kDecode>;
  uint8_t (*stages)[2][S::kTileBytes];  // [kStages]: K, V
  int (*keys)[S::kTileKeys];            // [kKeyTables]: the keys of each tile's slots
};

// The keys of tile `t` to its table, by one warp. Tiles come in order.
template <int kDim, bool kDecode>
__device__ void find_keys(const Tiles<kDim, kDecode>& tiles, RunReader& reader,
                          const AttendItem& item, int t) {
  using S = Shape<kDim, kDecode>;
  const int lane = threadIdx.x % kWarp;
  const int begin = item.block_begin * kBlockTokens + t * S::kTileKeys;
  int* keys = tiles.keys[t % S::kKeyTables];
  for (bool first = true;; first = false) {
#pragma unroll
    for (int i = lane; i < S::kTileKeys; i += kWarp) {
      const int key = reader.key_of(begin + i);
      if (first || key != kNoKey) keys[i] = key;
    }
    if (reader.slot_end() >= begin + S::kTileKeys || reader.last()) return;
    reader.next();
  }
}

// Starts this thread's part of the copy of tile `t`. Slots without a key are zeroed: 0 * NaN of
// what lay there would be NaN.
template <int kDim, bool kDecode, bool kLists>
__device__ void copy_tile(const AttendParams& p, const AttendItem& item,
                          const Tiles<kDim, kDecode>& tiles, int kv_len, int t) {
  using S = Shape<kDim, kDecode>;
  constexpr int kChunks = kDim / 8;
  const BlockId* blocks = p.batch.blocks + p.batch.block_indptr[item.seq];
  const int begin = item.block_begin * kBlockTokens + t * S::kTileKeys;
  uint8_t(*to)[S::kTileBytes] = tiles.stages[t % S::kStages];
  const std::byte* k_from = p.kv.k_tile(0, item.kv_head);
  const std::byte* v_from = p.kv.v_tile(0, item.kv_head);
#pragma unroll 4
  for (int i = threadIdx.x; i < S::kTileKeys * kChunks; i += S::kThreads) {
    const int slot = i / kChunks, chunk = i % kChunks;
    int key = begin + slot;
    if constexpr (kLists) key = tiles.keys[t % S::kKeyTables][slot];
    const bool real = kLists ? key != kNoKey : key < kv_len;
    if (!real) key = 0;
    // Chunks are copied as they lie: key and slot have the same swizzle phase.
    const int panel = chunk * 8 / kPanelColumns, row_bytes = panel_width(chunk * 8, kDim) * 2;
    const int at = chunk % (kPanelColumns / 8) * 16;
    const int64_t from = blocks[key / kBlockTokens] * p.kv.block_bytes + panel * kPanelBytes +
                         key % kBlockTokens * row_bytes + at;
    const int offset = panel * S::kTileKeys * kPanelColumns * 2 + slot * row_bytes + at;
    async_copy_16(to[0] + offset, k_from + from, real);
    async_copy_16(to[1] + offset, v_from + from, real);
  }
}

// Output rows of one warp that saw all keys of the item, or their partial.
template <int kDim>
__device__ void write_rows(Rows<kDim>& rows, const AttendParams& p, const AttendItem& item,
                           int first_token, int first_row) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, c = lane % 4;
  rows.sum_totals();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + g + 8 * h;
    if (row >= item.rows) continue;
    if (item.partial >= 0) {
      const int64_t slot_row = int64_t{item.partial} * kDecodeRows + row;
      if (c == 0) {
        p.partial_max[slot_row] = rows.max[h];
        p.partial_total[slot_row] = rows.total[h];
      }
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        *reinterpret_cast<float2*>(p.partial_sums + slot_row * kDim + n * 8 + 2 * c) =
            make_float2(rows.out[n][2 * h], rows.out[n][2 * h + 1]);
      }
      continue;
    }
    const float inverse = rows.total[h] > 0 ? 1.0F / rows.total[h] : 0.0F;
    auto* out = static_cast<__nv_bfloat16*>(p.out) +
                row_offset<kDim>(p, item, first_token, item.row_begin + row, p.out_stride) + 2 * c;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + n * 8) =
          pack_bf16(rows.out[n][2 * h] * inverse, rows.out[n][2 * h + 1] * inverse);
    }
  }
}

// This warp's rows against its keys of tile `t`.
template <int kDim, bool kDecode, bool kLists>
__device__ __forceinline__ void attend_tile(Rows<kDim>& rows, const uint32_t (&q)[kDim / 16][4],
                                            const AttendParams& p, const AttendItem& item,
                                            const Tiles<kDim, kDecode>& tiles, const Sight& sight,
                                            int t) {
  using S = Shape<kDim, kDecode>;
  const int first_slot = threadIdx.x / kWarp % S::kKeyWarps * S::kKeysOfWarp;
  uint8_t(*stage)[S::kTileBytes] = tiles.stages[t % S::kStages];
  const auto attend = [&](const auto& keys) {
    attend_keys<kDim, S::kTileKeys, S::kKeysOfWarp>(
        rows, q, smem_address(stage[0]), smem_address(stage[1]), first_slot, keys, sight, p);
  };
  if constexpr (kLists) {
    attend(ListedKeys{tiles.keys[t % S::kKeyTables] + first_slot, 0});
  } else {
    attend(DenseKeys{item.block_begin * kBlockTokens + t * S::kTileKeys + first_slot});
  }
}

// ---- kernel ------------------------------------------------------------------------------------

template <int kDim, bool kDecode, bool kLists>
__global__ void __launch_bounds__(Shape<kDim, kDecode>::kThreads)
    portable_kernel(const AttendParams p, const AttendItem* items) {
  using S = Shape<kDim, kDecode>;
  extern __shared__ __align__(1024) uint8_t memory[];
  __shared__ __align__(16) int keys[kLists ? S::kKeyTables : 1][S::kTileKeys];
  const Tiles<kDim, kDecode> tiles{reinterpret_cast<uint8_t(*)[2][S::kTileBytes]>(memory), keys};
  wait_for_previous_kernel();
  if constexpr (kLists) {
    const ListCounts& counts = *p.lists.counts;
    if (static_cast<int>(blockIdx.x) >= (kDecode ? counts.decode_items : counts.prefill_items))
      return;
    items = p.lists.items + (kDecode ? 0 : counts.decode_items);
  }
  const AttendItem item = items[blockIdx.x];
  const int first_token = p.batch.q_indptr[item.seq], kv_len = p.batch.kv_lens[item.seq];
  const int first_sees = kv_len - (p.batch.q_indptr[item.seq + 1] - first_token) + 1;
  const int warp = threadIdx.x / kWarp;
  const int first_row = kDecode ? 0 : warp * 16;  // of this warp's sixteen
  const Sight sight(p, first_sees, item.row_begin + first_row);
  uint32_t q[kDim / 16][4];
  load_q<kDim>(q, p, item, first_token, first_row);

  const int num_tiles = (item.block_end - item.block_begin) * (kBlockTokens / S::kTileKeys);
  RunReader reader(nullptr, 0, {});
  if (kLists && warp == 0) {
    reader = open_list(p, item);
    for (int t = 0; t < min(S::kStages, num_tiles); ++t) find_keys(tiles, reader, item, t);
  }
  __syncthreads();
  for (int t = 0; t < S::kStages - 1; ++t) {
    if (t < num_tiles) copy_tile<kDim, kDecode, kLists>(p, item, tiles, kv_len, t);
    async_copy_commit();
  }
  Rows<kDim> rows;
  for (int t = 0; t < num_tiles; ++t) {
    async_copy_wait<S::kStages - 2>();
    __syncthreads();  // tile t is there, tile t - 1 and its keys are done with
    const int ahead = t + S::kStages - 1;
    if (ahead < num_tiles) copy_tile<kDim, kDecode, kLists>(p, item, tiles, kv_len, ahead);
    async_copy_commit();
    if (kLists && warp == 0 && ahead + 1 < num_tiles) find_keys(tiles, reader, item, ahead + 1);
    attend_tile<kDim, kDecode, kLists>(rows, q, p, item, tiles, sight, t);
  }
  async_copy_wait<0>();
  allow_next_kernel();
  if constexpr (kDecode) {
    merge_warps<kDim, S::kKeyWarps>(rows, p, item, first_token, reinterpret_cast<float*>(memory),
                                    kMergeBarrier);
  } else {
    write_rows<kDim>(rows, p, item, first_token, first_row);
  }
}

template <int kDim, bool kDecode, bool kLists>
void launch_kernel(const AttendParams& params, const AttendItem* items, int blocks,
                   cudaStream_t stream) {
  using S = Shape<kDim, kDecode>;
  const auto kernel = portable_kernel<kDim, kDecode, kLists>;
  SLUICE_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes));
  launch(kernel, dim3(static_cast<unsigned>(blocks)), S::kThreads, S::kSharedBytes, stream, params,
         items);
}

template <bool kDecode, bool kLists>
void launch_any(const AttendParams& params, const AttendItem* items, int blocks,
                cudaStream_t stream) {
  dispatch_head_dim<64, 96, 128, 256>(params.kv.head_dim, [&](auto dim) {
    launch_kernel<decltype(dim)::value, kDecode, kLists>(params, items, blocks, stream);
  });
}

}  // namespace

// ---- launchers ---------------------------------------------------------------------------------

void launch_portable(const AttendParams& params, const AttendItem* decode_items, int num_decode,
                     const AttendItem* prefill_items, int num_prefill, cudaStream_t stream) {
  if (num_prefill > 0) launch_any<false, false>(params, prefill_items, num_prefill, stream);
  if (num_decode > 0) launch_any<true, false>(params, decode_items, num_decode, stream);
}

void launch_portable_lists(const AttendParams& params, cudaStream_t stream) {
  const ListPlan& plan = params.lists;
  if (plan.num_prefill_tiles > 0) {
    launch_any<false, true>(params, nullptr, plan.num_prefill_tiles + plan.num_workers, stream);
  }
  if (plan.num_decode_tiles > 0) {
    launch_any<true, true>(params, nullptr, plan.num_decode_tiles + plan.num_workers, stream);
  }
}

}  // namespace sluice::cuda
