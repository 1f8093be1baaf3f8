// out[T, N] = x[T, K] W[N, K]^T for T <= 64: W streams once from memory through a ring in shared
// memory to the warpgroup tensor cores, W's rows as their M and the tokens as their N.
//
//   warp 8 (producer)   one thread copies W [tile rows, 64 columns] and x [tokens, 64] a stage
//   warpgroups 0, 1     64 rows of W each, all tokens: D += W x^T
//
// A block takes a tile of W's rows and a slice of K; the slices of a tile are a cluster, whose sums
// are added in the order of K through its shared memory. RingCut chooses both so that every SM has
// as many blocks as the others. W does not depend on the kernel before: the ring is filled before
// waiting for it.
//
// Gated: a tile's rows are 8 of W's upper half, the gates, the 8 that belong to them in the lower
// half, the next 8 gates, ...: a thread's rows g and g + 8 are a gate and its up.
//
// What becomes of the sums is said by a Finish, which may be in need of other operands; and each
// token's may have to be multiplied by a factor first (fusions.cuh), which the consumers work out
// while the ring is filled.
#include <algorithm>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/tensor_map.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/gemm/ring.h"
#include "kernels/cuda/gemm/ring_finish.cuh"

namespace sluice::cuda {
namespace {

constexpr int kWarpgroup = 128;
constexpr int kGroups = 2;  // consumer warpgroups
constexpr int kConsumers = kGroups * kWarpgroup;
constexpr int kThreads = kConsumers + 32;
constexpr int kConsumerBarrier = 1;
constexpr int kGroupRows = 64;
constexpr int kTileRows = kGroups * kGroupRows;  // of W, at most
constexpr int kStep = 64;                        // columns of K a stage: 128 bytes, a swizzled row
constexpr int kRowBytes = kStep * 2;
constexpr int kMaxSlices = 8;  // blocks of a cluster that every card takes
constexpr int kMaxStages = 10;
// Of the 227 KB of an SM, without the barriers: of one block, and where two share it.
constexpr int kSharedBytes = 220 * 1024, kHalfSharedBytes = 110 * 1024;

constexpr int stage_bytes(int tokens) { return (kTileRows + tokens) * kRowBytes; }

// Tokens of the smallest kernel that takes `rows`.
int tokens_for(int64_t rows) { return rows <= 16 ? 16 : rows <= 32 ? 32 : 64; }

struct Barriers {
  uint64_t full[kMaxStages];
  uint64_t empty[kMaxStages];
};

// Walks round the ring; a barrier's phase turns each time.
struct Turn {
  int stage = 0;
  uint32_t phase = 0;

  __device__ void next(int stages) {
    if (++stage < stages) return;
    stage = 0;
    phase ^= 1;
  }
};

// ---- producer ----------------------------------------------------------------------------------

template <int kTokens, bool kGated>
struct Producer {
  const CUtensorMap* weight;
  const CUtensorMap* input;
  const RingParams& p;
  uint8_t* ring;
  Barriers& barriers;
  int first_row, begin, end;  // of W; steps along K

  __device__ void copy_weight(int step, int stage) const {
    mbarrier_expect_bytes(&barriers.full[stage], (p.tile_rows + kTokens) * kRowBytes);
    uint8_t* to = ring + stage * stage_bytes(kTokens);
    if constexpr (kGated) {
      tile_copy_paired(to, weight, first_row / 16, step * kStep, &barriers.full[stage]);
    } else {
      tile_copy(to, weight, first_row, step * kStep, &barriers.full[stage]);
    }
  }
  __device__ void copy_input(int step, int stage) const {
    tile_copy(ring + stage * stage_bytes(kTokens) + kTileRows * kRowBytes, input, 0, step * kStep,
              &barriers.full[stage]);
  }
  __device__ void run() const {
    const int filled = min(begin + p.stages, end);
    for (int step = begin; step < filled; ++step) copy_weight(step, step - begin);
    wait_for_previous_kernel();
    for (int step = begin; step < filled; ++step) copy_input(step, step - begin);
    Turn turn;
    for (int step = filled; step < end; ++step, turn.next(p.stages)) {
      mbarrier_wait(&barriers.empty[turn.stage], turn.phase);
      copy_weight(step, turn.stage);
      copy_input(step, turn.stage);
    }
  }
};

// ---- consumers ---------------------------------------------------------------------------------

// d (+)= the 64 rows of W at `weight` times the tokens at `input`, over the 64 columns of a stage.
template <int kTokens>
__device__ __forceinline__ void multiply(float (&d)[kTokens / 2], uint32_t weight, uint32_t input,
                                         bool accumulate) {
#pragma unroll
  for (int k = 0; k < kStep / 16; ++k) {
    const uint64_t a = swizzled_operand(weight + k * 32, 16, 8 * kRowBytes);
    const uint64_t b = swizzled_operand(input + k * 32, 16, 8 * kRowBytes);
    if constexpr (kTokens == 16) {
      wgmma_m64n16k16_ss(d, a, b, accumulate || k > 0);
    } else if constexpr (kTokens == 32) {
      wgmma_m64n32k16_ss(d, a, b, accumulate || k > 0);
    } else {
      static_assert(kTokens == 64);
      wgmma_m64n64k16_ss(d, a, b, accumulate || k > 0);
    }
  }
}

// d = the sum over `count` stages. A stage is released once the products of the next are issued, so
// that the tensor cores never wait for this thread.
template <int kTokens>
__device__ __forceinline__ void accumulate(float (&d)[kTokens / 2], const uint8_t* ring,
                                           Barriers& barriers, int count, int stages) {
  const bool signals = threadIdx.x % kWarpgroup == 0;
  const int group = threadIdx.x / kWarpgroup;
  wgmma_touch(d);
  Turn turn;
  for (int i = 0, before = 0; i < count; ++i, turn.next(stages)) {
    mbarrier_wait(&barriers.full[turn.stage], turn.phase);
    const uint32_t weight = smem_address(ring + turn.stage * stage_bytes(kTokens));
    wgmma_fence();
    multiply<kTokens>(d, weight + group * kGroupRows * kRowBytes, weight + kTileRows * kRowBytes,
                      i > 0);
    wgmma_commit();
    wgmma_wait<1>();
    if (signals && i > 0) mbarrier_arrive(&barriers.empty[before]);
    before = turn.stage;
  }
  wgmma_wait<0>();
  wgmma_touch(d);
}

// Every token's factor, by all consumers together.
template <int kTokens>
__device__ void find_factors(const RingParams& p, float* factors) {
  constexpr int kThreadsAToken = kConsumers / kTokens;
  const int token = threadIdx.x / kThreadsAToken, thread = threadIdx.x % kThreadsAToken;
  const float share = token < p.tokens ? p.factors.share<kThreadsAToken>(token, thread) : 0.0F;
  const float factor = p.factors.factor<kThreadsAToken>(share);
  if (thread == 0) factors[token] = factor;
}

// ---- sums to results --------------------------------------------------------------------------

// Adds up the cluster's sums and stores them, each block its share of the vectors. `sums`:
// [vector][consumer thread] in every block's shared memory, this thread's column.
template <typename Finish>
__device__ void add_slices(const Finish& finish, const RingParams& p, int first_row, int slice,
                           const float4* sums, const float* factors) {
  for (int v = slice; v * 8 < p.tokens; v += p.slices) {
    const RingSpot at = spot_of(first_row, v);
    const auto fetched = finish.fetch(p, at);
    float4 parts[kMaxSlices];  // asked for at once: each is a trip to another SM
#pragma unroll
    for (int i = 0; i < kMaxSlices; ++i) {
      if (i < p.slices) parts[i] = load_from_block(sums + v * kConsumers, i);
    }
    float4 sum = parts[0];
#pragma unroll
    for (int i = 1; i < kMaxSlices; ++i) {
      if (i >= p.slices) break;
      sum.x += parts[i].x, sum.y += parts[i].y, sum.z += parts[i].z, sum.w += parts[i].w;
    }
    finish_vector(finish, p, at, fetched, sum, factors);
  }
}

// The same where one block has all of K: d[4 v ...] is vector v.
template <int kTokens, typename Finish>
__device__ void store_all(const Finish& finish, const RingParams& p, int first_row,
                          const float (&d)[kTokens / 2], const float* factors) {
  constexpr int kAhead = 4;  // vectors that are fetched for at a time
  static_assert(kTokens / 8 % kAhead == 0 || kTokens / 8 < kAhead);
  constexpr int kBatch = kTokens / 8 < kAhead ? kTokens / 8 : kAhead;
#pragma unroll
  for (int first = 0; first < kTokens / 8; first += kBatch) {
    typename Finish::Fetched fetched[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) fetched[i] = finish.fetch(p, spot_of(first_row, first + i));
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int v = first + i;
      finish_vector(finish, p, spot_of(first_row, v), fetched[i],
                    make_float4(d[4 * v], d[4 * v + 1], d[4 * v + 2], d[4 * v + 3]), factors);
    }
  }
}

// ---- kernel ------------------------------------------------------------------------------------

// Grid: tiles of W's rows x slices, a cluster a tile.
template <int kTokens, typename Finish>
__global__ void __launch_bounds__(kThreads, 2)
    ring_gemm_kernel(const __grid_constant__ CUtensorMap weight,
                     const __grid_constant__ CUtensorMap input, const RingParams p,
                     const Finish finish) {
  extern __shared__ __align__(1024) uint8_t ring[];
  __shared__ Barriers barriers;
  __shared__ float factors[kTokens];
  const int slice = p.slices > 1 ? cluster_rank() : 0;
  const int first_row = static_cast<int>(blockIdx.x) / p.slices * p.tile_rows;
  const int begin = p.steps * slice / p.slices, end = p.steps * (slice + 1) / p.slices;
  allow_next_kernel();
  if (threadIdx.x == kConsumers) {
    prefetch_map(&weight);
    prefetch_map(&input);
    for (int i = 0; i < p.stages; ++i) {
      mbarrier_init(&barriers.full[i], 1);
      mbarrier_init(&barriers.empty[i], kGroups);
    }
    fence_barrier_init();
  }
  __syncthreads();
  float4* sums = reinterpret_cast<float4*>(ring) + threadIdx.x;
  const bool holds_rows = threadIdx.x < kConsumers && threadIdx.x / 32 * 16 < p.tile_rows;
  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x == kConsumers)
      Producer<kTokens, Finish::kPaired>{&weight, &input, p, ring, barriers, first_row, begin, end}
          .run();
    __syncwarp();
  } else {
    wait_for_previous_kernel();
    if (p.factors.squares != nullptr) find_factors<kTokens>(p, factors);
    float d[kTokens / 2];
    accumulate<kTokens>(d, ring, barriers, end - begin, p.stages);
    named_barrier_sync(kConsumerBarrier, kConsumers);  // the ring is read, the factors are there
    if (p.slices == 1) {
      if (holds_rows) store_all<kTokens>(finish, p, first_row, d, factors);
      return;
    }
#pragma unroll
    for (int v = 0; v < kTokens / 8; ++v)
      sums[v * kConsumers] = make_float4(d[4 * v], d[4 * v + 1], d[4 * v + 2], d[4 * v + 3]);
  }
  if (p.slices == 1) return;
  cluster_sync();
  if (holds_rows) add_slices(finish, p, first_row, slice, sums, factors);
  cluster_sync();  // nobody reads this block's shared memory any more
}

// ---- launcher ----------------------------------------------------------------------------------

// A map of bf16 extents, innermost first, `strides` in elements from the second dimension on.
template <int kRank>
CUtensorMap tensor_map(void* encode, const void* data, const cuuint64_t (&extents)[kRank],
                       const int64_t (&strides)[kRank - 1], const cuuint32_t (&box)[kRank]) {
  CUtensorMap map{};
  cuuint64_t bytes[kRank - 1];
  cuuint32_t element_strides[kRank];
  for (int i = 0; i < kRank - 1; ++i) bytes[i] = static_cast<cuuint64_t>(strides[i]) * 2;
  for (cuuint32_t& stride : element_strides) stride = 1;
  const CUresult result = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode)(
      &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kRank, const_cast<void*>(data), extents, bytes, box,
      element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    fail_check(__FILE__, __LINE__, str("cuTensorMapEncodeTiled: error ", static_cast<int>(result)));
  return map;
}

// Boxes of `box_rows` rows and kStep columns of a row-major matrix.
CUtensorMap row_map(void* encode, const void* data, int64_t rows, int64_t cols, int64_t row_stride,
                    int box_rows) {
  return tensor_map<2>(encode, data, {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)},
                       {row_stride}, {kStep, static_cast<cuuint32_t>(box_rows)});
}

// The same of a gate and an up matrix, one above the other: 8 rows of each in turn.
CUtensorMap paired_map(void* encode, const Weight& weight, int box_rows) {
  const int64_t half = weight.rows / 2;
  return tensor_map<4>(
      encode, weight.storage.data(),
      {static_cast<cuuint64_t>(weight.cols), 8, 2, static_cast<cuuint64_t>(half / 8)},
      {weight.cols, half * weight.cols, 8 * weight.cols},
      {kStep, 8, 2, static_cast<cuuint32_t>(box_rows / 16)});
}

template <int kTokens, typename Finish>
void launch_ring(const Finish& finish, const RingParams& p, int64_t weight_rows,
                 const CUtensorMap& weight, const CUtensorMap& input, cudaStream_t stream) {
  auto* kernel = ring_gemm_kernel<kTokens, Finish>;
  SLUICE_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  const dim3 grid(static_cast<unsigned>(ceil_div(weight_rows, p.tile_rows) * p.slices));
  launch_clusters(kernel, grid, p.slices, kThreads,
                  static_cast<size_t>(p.stages) * stage_bytes(kTokens), stream, weight, input, p,
                  finish);
}

// `out_cols`: of what `finish` writes.
template <typename Finish>
void launch_tokens(void* encode, const Finish& finish, int64_t out_cols, const ProductInput& input,
                   const Weight& weight, const RingCut& cut, cudaStream_t stream) {
  const TensorView& x = input.values;
  SLUICE_CHECK(RingGemm::fits(x, weight));
  SLUICE_CHECK(RingGemm::valid(cut, x.rows));
  const auto steps = static_cast<int>(ceil_div(weight.cols, kStep));
  const RingParams p{.factors = RowFactors(input),
                     .tokens = static_cast<int>(x.rows),
                     .rows = static_cast<int>(out_cols),
                     .tile_rows = cut.tile_rows,
                     .steps = steps,
                     .slices = std::min(cut.slices, steps),
                     .stages = cut.stages};
  const CUtensorMap w = Finish::kPaired ? paired_map(encode, weight, cut.tile_rows)
                                        : row_map(encode, weight.storage.data(), weight.rows,
                                                  weight.cols, weight.cols, cut.tile_rows);
  const int tokens = tokens_for(x.rows);
  const CUtensorMap in = row_map(encode, x.data, x.rows, x.cols, x.row_stride, tokens);
  if (tokens == 16) return launch_ring<16>(finish, p, weight.rows, w, in, stream);
  if (tokens == 32) return launch_ring<32>(finish, p, weight.rows, w, in, stream);
  launch_ring<64>(finish, p, weight.rows, w, in, stream);
}

}  // namespace

RingGemm::RingGemm(int num_sms) : num_sms_(num_sms), encode_(nullptr) {
  cudaDriverEntryPointQueryResult found{};
  SLUICE_CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode_, 12000,
                                                     cudaEnableDefault, &found));
  SLUICE_CHECK(found == cudaDriverEntryPointSuccess);
}

bool RingGemm::fits(TensorView x, const Weight& weight) {
  return x.dtype == DType::kBF16 && weight.dtype == DType::kBF16 && x.rows <= kRingRows &&
         x.cols % 8 == 0 && x.row_stride % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

bool RingGemm::valid(const RingCut& cut, int64_t rows) {
  return cut.tile_rows >= 16 && cut.tile_rows <= kTileRows && cut.tile_rows % 16 == 0 &&
         cut.slices >= 1 && cut.slices <= kMaxSlices && cut.stages >= 2 &&
         cut.stages <= std::min(kMaxStages, kSharedBytes / stage_bytes(tokens_for(rows)));
}

std::vector<RingCut> RingGemm::cuts(int64_t rows, int64_t weight_rows) const {
  const int bytes = stage_bytes(tokens_for(rows));
  const int whole = std::min(kMaxStages, kSharedBytes / bytes), half = kHalfSharedBytes / bytes;
  // Tiles as high as make `blocks` blocks in all; they need not be whole tensor-core tiles.
  const auto cut = [&](int slices, int blocks, int stages) {
    const int64_t tiles = std::max(1, blocks / slices);
    const int64_t tile_rows = round_up(ceil_div(weight_rows, tiles), 16);
    return RingCut{.tile_rows = static_cast<int>(std::min<int64_t>(kTileRows, tile_rows)),
                   .slices = slices,
                   .stages = stages};
  };
  std::vector<RingCut> found;
  const auto add = [&](const RingCut& one) {
    if (std::ranges::find(found, one) == found.end()) found.push_back(one);
  };
  // Whole tiles, in the number of slices that comes nearest to a block an SM.
  const int64_t tiles = ceil_div(weight_rows, kTileRows);
  const auto slices = std::clamp<int64_t>((num_sms_ + tiles / 2) / tiles, 1, kMaxSlices);
  add({.tile_rows = kTileRows, .slices = static_cast<int>(slices), .stages = half});
  for (const int n : {1, 2, 4}) add(cut(n, num_sms_, whole));
  for (const int n : {1, 4, 6, 8}) add(cut(n, 2 * num_sms_, half));
  return found;
}

void RingGemm::run(TensorView out, const ProductInput& x, const Weight& weight, const RingCut& cut,
                   cudaStream_t stream) const {
  dispatch_dtype(out.dtype, [&](auto element) {
    using Out = decltype(element);
    const RingStore<Out> finish{static_cast<Out*>(out.data), out.row_stride};
    launch_tokens(encode_, finish, out.cols, x, weight, cut, stream);
  });
}

void RingGemm::run_gated(TensorView out, const ProductInput& x, const Weight& weight,
                         const RingCut& cut, cudaStream_t stream) const {
  SLUICE_CHECK(out.dtype == DType::kBF16);
  SLUICE_CHECK_EQ(out.cols % 8, 0);
  const RingStoreGated finish{static_cast<__nv_bfloat16*>(out.data), out.row_stride};
  launch_tokens(encode_, finish, out.cols, x, weight, cut, stream);
}

void RingGemm::run_add_norm(const AddNorm& to, TensorView x, const Weight& weight,
                            const RingCut& cut, cudaStream_t stream) const {
  SLUICE_CHECK_EQ(weight.rows % kSquaresOf, 0);
  launch_tokens(encode_, RingAddNorm{to}, weight.rows, x, weight, cut, stream);
}

}  // namespace sluice::cuda
