// Attention for many query rows: the compute-bound case, on Hopper's warpgroup tensor cores.
//
//   warpgroup 0   warps 0 and 1 copy tiles of 128 keys, K and V, into two stages each; warps 2 and
//                 3 the next item's Q
//   warpgroups 1, 2   64 packed rows each: S = Q K^T, online softmax, O += P V
//
// Blocks of threads stay and take item after item, so that an item's first tiles and its Q arrive
// while the item before is being finished. Dense tiles go from the last keys to the first. Within a
// warpgroup the next tile's S is issued before this tile's P V, so that softmax runs under a matrix
// product; between the two, a pair of named barriers makes them take turns (source of both:
// FlashAttention-3, arXiv:2407.08608).
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/bulk_runs.cuh"
#include "kernels/cuda/attention/prefill_tile.cuh"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/dispatch.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = kWarpgroup * (1 + kConsumerGroups);
constexpr int kK = 0, kV = 1;
constexpr int kStages = 2;     // of K and of V
constexpr int kQueries = 2;    // of Q
constexpr int kKeyTables = 4;  // of listed tiles: read when the stage of their K is in use again
constexpr int kFirstQueryLoader = 2 * kWarp;
constexpr int kQueryLoaders = kWarpgroup - kFirstQueryLoader;
constexpr int kConsumers = kConsumerGroups * kWarpgroup;
constexpr int kTurnBarrier = 1;  // and 2: named barriers of the consumers' turns
// Registers of the 65,536 that 384 threads share: 88 * 128 + 208 * 256 = 64,512.
constexpr int kProducerRegisters = 88;
constexpr int kConsumerRegisters = 208;

template <int kDim>
struct Shared {
  using S = PrefillShape<kDim>;
  uint8_t query[kQueries][S::kQueryBytes];
  uint8_t stages[kStages][2][S::kTileBytes];  // K, V
  alignas(16) int keys[kKeyTables][kTileKeys];
  int num_keys[kKeyTables];
  PrefillContext context[kQueries];
  uint64_t q_full[kQueries], q_empty[kQueries];
  uint64_t full[2][kStages], empty[2][kStages];  // of K, of V
};

// This launch's items, dealt to the blocks of threads there and back again: they are sorted by
// length.
template <bool kLists>
class Items {
 public:
  __device__ Items(const AttendParams& p, const AttendItem* items, int num_items)
      : items_(items), num_items_(num_items) {
    if constexpr (kLists) {
      items_ = p.lists.items + p.lists.counts->decode_items;
      num_items_ = p.lists.counts->prefill_items;
    }
  }
  // False when there is no round `round`.
  __device__ bool has(int round) const { return index(round) < num_items_; }
  __device__ AttendItem get(int round) const { return items_[index(round)]; }

 private:
  __device__ int index(int round) const {
    const int place = round % 2 == 0 ? blockIdx.x : gridDim.x - 1 - blockIdx.x;
    return round * static_cast<int>(gridDim.x) + place;
  }
  const AttendItem* items_;
  int num_items_;
};

__device__ __forceinline__ int tiles_of(const AttendItem& item) {
  return max(1, (item.block_end - item.block_begin + 1) / 2);  // an empty list: one empty tile
}

// ---- warpgroup 0 -------------------------------------------------------------------------------

// Copies two blocks side by side: [panel][128 keys][64 columns].
template <int kDim>
__device__ void copy_tile(uint8_t* to, const std::byte* first, const std::byte* second,
                          uint64_t* full) {
  using S = PrefillShape<kDim>;
  mbarrier_expect_bytes(full, S::kTileBytes);
#pragma unroll
  for (int panel = 0; panel < S::kPanels; ++panel) {
    bulk_copy(to + panel * S::kTilePanelBytes, first + panel * kPanelBytes, kPanelBytes, full);
    bulk_copy(to + panel * S::kTilePanelBytes + kPanelBytes, second + panel * kPanelBytes,
              kPanelBytes, full);
  }
}

// K or V of an item, by one thread. `n` counts the tiles of all items.
template <int kDim>
__device__ void copy_dense(const AttendParams& p, const AttendItem& item, Shared<kDim>& shared,
                           int part, int& n) {
  const BlockId* blocks = p.batch.blocks + p.batch.block_indptr[item.seq];
  const std::byte* from = part == kK ? p.kv.k_tile(0, item.kv_head) : p.kv.v_tile(0, item.kv_head);
  const int tiles = tiles_of(item);
  for (int i = 0; i < tiles; ++i, ++n) {
    const int block = item.block_begin + 2 * (tiles - 1 - i);
    const BlockId first = blocks[block];
    // An odd range ends in half a tile: its second half is masked, and filled with what is there.
    const BlockId second = block + 1 < item.block_end ? blocks[block + 1] : first;
    const int stage = n % kStages;
    mbarrier_wait(&shared.empty[part][stage], (n / kStages & 1) ^ 1);
    copy_tile<kDim>(shared.stages[stage][part], from + first * p.kv.block_bytes,
                    from + second * p.kv.block_bytes, &shared.full[part][stage]);
  }
}

// K or V of an item of a run list, by one warp; the first also writes the tables of keys.
template <int kDim>
__device__ void copy_listed(const AttendParams& p, const AttendItem& item, Shared<kDim>& shared,
                            int part, int& n) {
  using S = PrefillShape<kDim>;
  const BlockId* blocks = p.batch.blocks + p.batch.block_indptr[item.seq];
  const std::byte* from = part == kK ? p.kv.k_tile(0, item.kv_head) : p.kv.v_tile(0, item.kv_head);
  const int tiles = tiles_of(item), end = item.block_end * kBlockTokens;
  RunReader reader = open_list(p, item);
  for (int i = 0; i < tiles; ++i, ++n) {
    const int begin = item.block_begin * kBlockTokens + i * kTileKeys;
    const int stage = n % kStages, table = n % kKeyTables;
    uint64_t* full = &shared.full[part][stage];
    // The blocks are looked up before the wait for room.
    ListedTile<kTileKeys> tile(reader, {begin, min(begin + kTileKeys, end), blocks});
    mbarrier_wait(&shared.empty[part][stage], (n / kStages & 1) ^ 1);
    int rows = 0;  // of this lane
    bool first = true;
    do {
      tile.template copy<S::kPanels, S::kTilePanelBytes>(shared.stages[stage][part], from,
                                                         p.kv.block_bytes, full);
      if (part == kK) tile.store_keys(shared.keys[table], first);
      rows += tile.rows();
      first = false;
    } while (tile.next_window());
    const int num_keys = __reduce_add_sync(~0U, rows);
    if (part == kK && threadIdx.x == 0) shared.num_keys[table] = num_keys;
    mbarrier_expect_bytes(full, rows * kDim * 2);
  }
}

// Two warps: the rows of an item's Q into shared memory, swizzled; rows past the item's are zero.
template <int kDim>
__device__ void load_query(uint8_t* to, const AttendParams& p, const PrefillContext& context) {
  constexpr int kChunks = kDim / 8;
  const AttendItem& item = context.item;
  for (int i = threadIdx.x - kFirstQueryLoader; i < kPrefillRows * kChunks; i += kQueryLoaders) {
    const int row = i / kChunks, chunk = i % kChunks;
    const int packed = item.row_begin + min(row, item.rows - 1);
    const auto* from = static_cast<const __nv_bfloat16*>(p.q) +
                       (context.first_token + packed / p.group) * p.q_stride +
                       (item.kv_head * p.group + packed % p.group) * kDim + chunk * 8;
    const int at = (chunk / 8) * kPrefillRows * 128 + row * 128 + ((chunk % 8) ^ (row & 7)) * 16;
    async_copy_16(to + at, from, row < item.rows);
  }
  async_copy_commit();
  async_copy_wait<0>();
  fence_async_proxy();
}

template <int kDim, bool kLists>
__device__ void produce(const AttendParams& p, const Items<kLists>& items, Shared<kDim>& shared) {
  if (threadIdx.x < kFirstQueryLoader) {
    const int part = threadIdx.x < kWarp ? kK : kV;
    if (!kLists && threadIdx.x % kWarp != 0) return;
    for (int round = 0, n = 0; items.has(round); ++round) {
      if constexpr (kLists) {
        copy_listed<kDim>(p, items.get(round), shared, part, n);
      } else {
        copy_dense<kDim>(p, items.get(round), shared, part, n);
      }
    }
    return;
  }
  for (int round = 0; items.has(round); ++round) {
    const int slot = round % kQueries;
    PrefillContext context{.item = items.get(round)};
    context.first_token = p.batch.q_indptr[context.item.seq];
    context.kv_len = p.batch.kv_lens[context.item.seq];
    context.first_sees =
        context.kv_len - (p.batch.q_indptr[context.item.seq + 1] - context.first_token) + 1;
    context.last = !items.has(round + 1);
    mbarrier_wait(&shared.q_empty[slot], (round / kQueries & 1) ^ 1);
    if (threadIdx.x == kFirstQueryLoader) shared.context[slot] = context;
    load_query<kDim>(shared.query[slot], p, context);
    mbarrier_arrive(&shared.q_full[slot]);
  }
}

// ---- warpgroups 1 and 2 ------------------------------------------------------------------------

// The item in `context`; `n` counts the tiles of all items.
template <int kDim, bool kLists, bool kShaped>
__device__ void attend_item(const AttendParams& p, const PrefillContext& context, uint32_t query,
                            Shared<kDim>& shared, int group, int& n) {
  const AttendItem& item = context.item;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp % 4;
  const int end = kLists ? kNoKey : item.block_end * kBlockTokens;
  PrefillState<kDim> s;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = item.row_begin + group * kGroupRows + warp * 16 + lane / 4 + 8 * h;
    const int sees = context.first_sees + row / p.group;
    s.first[h] = sees - p.window;
    s.limit[h] = min(sees, end);
  }
  const int first_row = item.row_begin + group * kGroupRows;
  const KeyRange common = {context.first_sees + (first_row + kGroupRows - 1) / p.group - p.window,
                           min(context.first_sees + first_row / p.group, end)};
  const uint32_t q = query + group * kGroupRows * 128;
  const int tiles = tiles_of(item), first_n = n;
  const int last_key = (item.block_begin + 2 * (tiles - 1)) * kBlockTokens;  // a tile's first
  const bool signals = threadIdx.x % kWarpgroup == 0;
  const auto to_probabilities = [&](float(&keep)[2]) {
    if constexpr (kLists) {
      const ListedKeys keys{shared.keys[n % kKeyTables], shared.num_keys[n % kKeyTables]};
      softmax<kShaped>(s, keep, keys, common, p);
    } else {
      softmax<kShaped>(s, keep, DenseKeys{last_key - (n - first_n) * kTileKeys}, common, p);
    }
  };
  float keep[2];

  mbarrier_wait(&shared.full[kK][n % kStages], n / kStages & 1);
  issue_scores<kDim>(s.scores, q, smem_address(shared.stages[n % kStages][kK]));
  wgmma_wait<0>();
  wgmma_touch(s.scores);
  if (signals) mbarrier_arrive(&shared.empty[kK][n % kStages]);
  to_probabilities(keep);
  pack_probs<kDim>(s);
  if (!kLists && last_key + kTileKeys > context.kv_len) {
    mbarrier_wait(&shared.full[kV][n % kStages], n / kStages & 1);
    clear_unused_values<kDim>(shared.stages[n % kStages][kV], max(context.kv_len - last_key, 0),
                              group);
  }
  for (++n; n < first_n + tiles; ++n) {
    const int stage = (n - 1) % kStages, next = n % kStages;
    mbarrier_wait(&shared.full[kK][next], n / kStages & 1);
    mbarrier_wait(&shared.full[kV][stage], (n - 1) / kStages & 1);
    named_barrier_sync(kTurnBarrier + group, 2 * kWarpgroup);
    issue_scores<kDim>(s.scores, q, smem_address(shared.stages[next][kK]));
    issue_values<kDim>(s.out, s.probs, smem_address(shared.stages[stage][kV]));
    named_barrier_arrive(kTurnBarrier + (group ^ 1), 2 * kWarpgroup);
    wgmma_wait<1>();
    wgmma_touch(s.scores);
    if (signals) mbarrier_arrive(&shared.empty[kK][next]);
    to_probabilities(keep);
    wgmma_wait<0>();
    wgmma_touch(s.out);
    if (signals) mbarrier_arrive(&shared.empty[kV][stage]);
#pragma unroll
    for (int j = 0; j < kDim / 2; ++j) s.out[j] *= keep[j / 2 % 2];
    pack_probs<kDim>(s);
  }
  const int last = (n - 1) % kStages;
  mbarrier_wait(&shared.full[kV][last], (n - 1) / kStages & 1);
  issue_values<kDim>(s.out, s.probs, smem_address(shared.stages[last][kV]));
  wgmma_wait<0>();
  wgmma_touch(s.out);
  if (signals) mbarrier_arrive(&shared.empty[kV][last]);
  if (context.last) allow_next_kernel();
  write_rows<kDim>(s, p, context, group);
}

template <int kDim, bool kLists, bool kShaped>
__device__ void consume(const AttendParams& p, const Items<kLists>& items, Shared<kDim>& shared,
                        int group) {
  if (group == 1) named_barrier_arrive(kTurnBarrier, 2 * kWarpgroup);  // group 0 has the first turn
  int n = 0;
  for (int round = 0; items.has(round); ++round) {
    const int slot = round % kQueries;
    mbarrier_wait(&shared.q_full[slot], round / kQueries & 1);
    attend_item<kDim, kLists, kShaped>(p, shared.context[slot], smem_address(shared.query[slot]),
                                       shared, group, n);
    mbarrier_arrive(&shared.q_empty[slot]);
  }
  // The other group's last turn was announced to this one: take it, so that no barrier is left half
  // full.
  if (group == 0) named_barrier_sync(kTurnBarrier, 2 * kWarpgroup);
}

// ---- kernel ------------------------------------------------------------------------------------

template <int kDim, bool kLists, bool kShaped>
__global__ void __launch_bounds__(kThreads, 1)
    prefill_kernel(const AttendParams p, const AttendItem* dense_items, int num_items) {
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<kDim>*>(memory);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kQueries; ++i) {
      mbarrier_init(&shared.q_full[i], kQueryLoaders);
      mbarrier_init(&shared.q_empty[i], kConsumers);
    }
    for (int i = 0; i < kStages; ++i) {
      for (int part : {kK, kV}) {
        mbarrier_init(&shared.full[part][i], kLists ? kWarp : 1);
        mbarrier_init(&shared.empty[part][i], kConsumerGroups);
      }
    }
    fence_barrier_init();
  }
  if constexpr (kLists) {  // gaps are never copied to, and 0 * NaN of what lay there would be NaN
    for (int stage = 0; stage < kStages; ++stage)
      fill_zero(shared.stages[stage][kV], sizeof(shared.stages[stage][kV]), kThreads);
    fence_async_proxy();
  }
  __syncthreads();
  wait_for_previous_kernel();
  const Items<kLists> items(p, dense_items, num_items);
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    lower_registers<kProducerRegisters>();
    produce<kDim, kLists>(p, items, shared);
  } else {
    raise_registers<kConsumerRegisters>();
    consume<kDim, kLists, kShaped>(p, items, shared, warpgroup - 1);
  }
}

template <int kDim, bool kLists, bool kShaped>
void launch_kernel(const AttendParams& params, const AttendItem* items, int num_items, int blocks,
                   cudaStream_t stream) {
  const auto kernel = prefill_kernel<kDim, kLists, kShaped>;
  SLUICE_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         sizeof(Shared<kDim>)));
  launch(kernel, dim3(static_cast<unsigned>(blocks)), kThreads, sizeof(Shared<kDim>), stream,
         params, items, num_items);
}

// One that looks for windows and soft caps where there is one, since looking costs registers.
template <bool kLists>
void launch_any(const AttendParams& params, const AttendItem* items, int num_items, int blocks,
                cudaStream_t stream) {
  dispatch_head_dim<64, 128>(params.kv.head_dim, [&](auto dim) {
    constexpr int kDim = decltype(dim)::value;
    if (params.window != kNoWindow || params.raw_cap > 0) {
      launch_kernel<kDim, kLists, true>(params, items, num_items, blocks, stream);
    } else {
      launch_kernel<kDim, kLists, false>(params, items, num_items, blocks, stream);
    }
  });
}

}  // namespace

// ---- launchers ---------------------------------------------------------------------------------

void launch_prefill(const AttendParams& params, const AttendItem* items, int num_items,
                    cudaStream_t stream) {
  if (num_items == 0) return;
  const int blocks = std::min(num_items, params.num_processors);
  launch_any<false>(params, items, num_items, blocks, stream);
}

void launch_prefill_lists(const AttendParams& params, cudaStream_t stream) {
  if (params.lists.num_prefill_tiles == 0) return;
  launch_any<true>(params, nullptr, 0, params.num_processors, stream);
}

}  // namespace sluice::cuda
