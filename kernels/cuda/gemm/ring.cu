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
#include <algorithm>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/tensor_map.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/gemm/ring.h"

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

struct Params {
  void* out;
  int64_t out_stride;
  int tokens, rows;  // of x; columns of out
  int tile_rows;
  int steps;   // along K
  int slices;  // of K, a block each
  int stages;
};

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
  const Params& p;
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

// What a thread holds of vector v: rows g and g + 8 of its warp's sixteen (x, y and z, w), tokens
// 8 v + 2 c and the next.
template <bool kGated, typename Out>
__device__ __forceinline__ void store(const Params& p, int first_row, int v, float4 sum) {
  const int lane = threadIdx.x % 32, token = v * 8 + lane % 4 * 2;
  const int warp_row = threadIdx.x / 32 * 16, g = lane / 4;
  const float sums[2][2] = {{sum.x, sum.y}, {sum.z, sum.w}};
  const auto put = [&](int row, int i, float value) {
    if (row < p.rows && token + i < p.tokens)
      static_cast<Out*>(p.out)[(token + i) * p.out_stride + row] = from_f32<Out>(value);
  };
  if (warp_row >= p.tile_rows) return;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if constexpr (kGated) {
      put((first_row + warp_row) / 2 + g, i, silu(sums[0][i]) * sums[1][i]);
    } else {
      put(first_row + warp_row + g, i, sums[0][i]);
      put(first_row + warp_row + g + 8, i, sums[1][i]);
    }
  }
}

// Adds up the cluster's sums and stores them, each block its share of the vectors. `sums`:
// [vector][consumer thread] in every block's shared memory, this thread's column.
template <bool kGated, typename Out>
__device__ void add_slices(const Params& p, int first_row, int slice, const float4* sums) {
  for (int v = slice; v * 8 < p.tokens; v += p.slices) {
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
    store<kGated, Out>(p, first_row, v, sum);
  }
}

// ---- kernel ------------------------------------------------------------------------------------

// Grid: tiles of W's rows x slices, a cluster a tile.
template <int kTokens, bool kGated, typename Out>
__global__ void __launch_bounds__(kThreads, 2)
    ring_gemm_kernel(const __grid_constant__ CUtensorMap weight,
                     const __grid_constant__ CUtensorMap input, const Params p) {
  extern __shared__ __align__(1024) uint8_t ring[];
  __shared__ Barriers barriers;
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
  if (threadIdx.x >= kConsumers) {
    if (threadIdx.x == kConsumers)
      Producer<kTokens, kGated>{&weight, &input, p, ring, barriers, first_row, begin, end}.run();
    __syncwarp();
  } else {
    wait_for_previous_kernel();
    float d[kTokens / 2];
    accumulate<kTokens>(d, ring, barriers, end - begin, p.stages);
    if (p.slices > 1) named_barrier_sync(kConsumerBarrier, kConsumers);  // the ring is read
#pragma unroll
    for (int v = 0; v < kTokens / 8; ++v) {
      const float4 sum = make_float4(d[4 * v], d[4 * v + 1], d[4 * v + 2], d[4 * v + 3]);
      if (p.slices == 1) {
        store<kGated, Out>(p, first_row, v, sum);
      } else {
        sums[v * kConsumers] = sum;
      }
    }
  }
  if (p.slices == 1) return;
  cluster_sync();
  if (threadIdx.x < kConsumers) add_slices<kGated, Out>(p, first_row, slice, sums);
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

template <int kTokens, bool kGated, typename Out>
void launch_ring(const Params& p, int64_t weight_rows, const CUtensorMap& weight,
                 const CUtensorMap& input, cudaStream_t stream) {
  auto* kernel = ring_gemm_kernel<kTokens, kGated, Out>;
  SLUICE_CUDA_CHECK(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  const dim3 grid(static_cast<unsigned>(ceil_div(weight_rows, p.tile_rows) * p.slices));
  launch_clusters(kernel, grid, p.slices, kThreads,
                  static_cast<size_t>(p.stages) * stage_bytes(kTokens), stream, weight, input, p);
}

template <bool kGated, typename Out>
void launch_tokens(const Params& p, int64_t weight_rows, const CUtensorMap& weight,
                   const CUtensorMap& input, cudaStream_t stream) {
  const int tokens = tokens_for(p.tokens);
  if (tokens == 16) return launch_ring<16, kGated, Out>(p, weight_rows, weight, input, stream);
  if (tokens == 32) return launch_ring<32, kGated, Out>(p, weight_rows, weight, input, stream);
  launch_ring<64, kGated, Out>(p, weight_rows, weight, input, stream);
}

Params params_of(const TensorView& out, const TensorView& x, const Weight& weight,
                 const RingCut& cut) {
  SLUICE_CHECK(RingGemm::fits(out, x, weight));
  SLUICE_CHECK(RingGemm::valid(cut, x.rows));
  const auto steps = static_cast<int>(ceil_div(weight.cols, kStep));
  return {.out = out.data,
          .out_stride = out.row_stride,
          .tokens = static_cast<int>(x.rows),
          .rows = static_cast<int>(out.cols),
          .tile_rows = cut.tile_rows,
          .steps = steps,
          .slices = std::min(cut.slices, steps),
          .stages = cut.stages};
}

}  // namespace

RingGemm::RingGemm(int num_sms) : num_sms_(num_sms), encode_(nullptr) {
  cudaDriverEntryPointQueryResult found{};
  SLUICE_CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode_, 12000,
                                                     cudaEnableDefault, &found));
  SLUICE_CHECK(found == cudaDriverEntryPointSuccess);
}

bool RingGemm::fits(TensorView out, TensorView x, const Weight& weight) {
  return x.dtype == DType::kBF16 && weight.dtype == DType::kBF16 && out.rows <= kRingRows &&
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

void RingGemm::run(TensorView out, TensorView x, const Weight& weight, const RingCut& cut,
                   cudaStream_t stream) const {
  const Params p = params_of(out, x, weight, cut);
  const CUtensorMap w =
      row_map(encode_, weight.storage.data(), weight.rows, weight.cols, weight.cols, cut.tile_rows);
  const CUtensorMap in = row_map(encode_, x.data, x.rows, x.cols, x.row_stride, tokens_for(x.rows));
  dispatch_dtype(out.dtype, [&](auto element) {
    launch_tokens<false, decltype(element)>(p, weight.rows, w, in, stream);
  });
}

void RingGemm::run_gated(TensorView out, TensorView x, const Weight& weight, const RingCut& cut,
                         cudaStream_t stream) const {
  SLUICE_CHECK(out.dtype == DType::kBF16);
  SLUICE_CHECK_EQ(out.cols % 8, 0);
  const Params p = params_of(out, x, weight, cut);
  const CUtensorMap in = row_map(encode_, x.data, x.rows, x.cols, x.row_stride, tokens_for(x.rows));
  launch_tokens<true, __nv_bfloat16>(p, weight.rows, paired_map(encode_, weight, cut.tile_rows), in,
                                     stream);
}

}  // namespace sluice::cuda
