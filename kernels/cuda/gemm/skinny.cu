// out[T, N] = x[T, K] W[N, K]^T for T <= 8: W streams once from memory, straight into tensor-core
// registers.
//
// A block of threads owns 16 rows of W (the M of m16n8k16); its warps take stretches of K in
// turn:
//
//   row g of W   | warp 0: 4 chunks of 32 columns; of each, lane c loads 8 (16 bytes) | warp 1 |
//   ...
//
// A dot product does not care in which order K is walked, so a lane's eight columns serve as the
// operand columns (2c, 2c + 1, 2c + 8, 2c + 9) of two products, for W and x alike: no shuffle, no
// shared memory until the warps' sums are added at the end. W does not depend on the kernel before:
// its first stretch is loaded before waiting. Both operands are loaded one stretch ahead.
#include <cuda_bf16.h>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/gemm/fusions.cuh"
#include "kernels/cuda/gemm/skinny.h"

namespace sluice::cuda {
namespace {

constexpr int kRows = 16;   // of W, a block
constexpr int kChunk = 32;  // columns of K a warp takes at a time
constexpr int kUnroll = 4;  // chunks in flight a warp: 128 bytes a lane
// Warps of a block: two blocks fill an SM, or one where there are no more blocks than SMs.
constexpr int kWarps = 8, kManyWarps = 16;
// Of each row, brought into the second-level cache before waiting: more slows down what runs.
constexpr int kPrefetchBytes = 512;

struct Chunks {
  uint4 rows[kUnroll][2];  // rows g and g + 8
};
struct Inputs {
  uint4 token[kUnroll];  // of x: row g
};

// Streams past L1 and leaves L2 soon: nobody reads W again in this step.
__device__ uint4 load_once(const __nv_bfloat16* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

// Chunks first ... first + kUnroll - 1 of both rows; past the end zeros.
__device__ void load_weight(Chunks& to, const __nv_bfloat16* low, const __nv_bfloat16* high,
                            int first, int chunks) {
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const int chunk = first + u;
    const bool inside = chunk < chunks;
    to.rows[u][0] = inside ? load_once(low + chunk * kChunk) : make_uint4(0, 0, 0, 0);
    to.rows[u][1] = inside ? load_once(high + chunk * kChunk) : make_uint4(0, 0, 0, 0);
  }
}

__device__ void load_input(Inputs& to, const __nv_bfloat16* x, bool real, int first, int chunks) {
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const bool inside = real && first + u < chunks;
    to.token[u] =
        inside ? *reinterpret_cast<const uint4*>(x + (first + u) * kChunk) : make_uint4(0, 0, 0, 0);
  }
}

// The start of the stretch after the first, of one row.
template <int kBlockWarps>
__device__ void prefetch_second_stretch(const __nv_bfloat16* row, int cols) {
  constexpr int kFirst = kBlockWarps * kUnroll * kChunk;
  if (cols >= kFirst + kPrefetchBytes / 2) bulk_prefetch(row + kFirst, kPrefetchBytes);
}

// ---- what becomes of the sums ------------------------------------------------------------------
//
// A thread finishes `row` of the block's kOutRows, of one token: where that is `real`, which it is
// not past the last token, it stores the sum of W's row `row` or of the pair of rows that begins
// with it.

template <typename Out>
struct Store {
  static constexpr int kOutRows = kRows;
  Out* out;
  int64_t stride;
  int rows;  // of W

  // W's rows g and g + 8 of a block. Rows past the end read the last row; their sums are not
  // stored.
  __device__ int2 weight_rows(int block, int g) const {
    return {min(block * kRows + g, rows - 1), min(block * kRows + g + 8, rows - 1)};
  }
  __device__ void prepare(int, int, bool) {}
  __device__ void fetch(int, int, bool) {}
  __device__ void store(int row, int token, bool real, float sum, float) const {
    const int col = blockIdx.x * kRows + row;
    if (real && col < rows) out[token * stride + col] = from_f32<Out>(sum);
  }
};

// Rows g are 8 of W's upper half, the gates, rows g + 8 those that belong to them in the lower
// half.
struct StoreGated {
  static constexpr int kOutRows = kRows / 2;
  __nv_bfloat16* out;
  int64_t stride;
  int half;  // rows of W

  __device__ int2 weight_rows(int block, int g) const {
    const int gate = block * kOutRows + g;
    return {gate, half + gate};
  }
  __device__ void prepare(int, int, bool) {}
  __device__ void fetch(int, int, bool) {}
  __device__ void store(int row, int token, bool real, float gate, float up) const {
    if (!real) return;
    out[token * stride + blockIdx.x * kOutRows + row] = from_f32<__nv_bfloat16>(silu(gate) * up);
  }
};

struct StoreAddNorm {
  static constexpr int kOutRows = kSquaresOf;
  AddNorm to;
  float before, gain;

  __device__ int2 weight_rows(int block, int g) const {
    return {block * kRows + g, block * kRows + g + 8};
  }
  __device__ void prepare(int row, int, bool) { gain = to.norm[blockIdx.x * kRows + row]; }
  __device__ void fetch(int row, int token, bool real) {
    before = real ? to_f32(to.residual[token * to.residual_stride + blockIdx.x * kRows + row]) : 0;
  }
  __device__ void store(int row, int token, bool real, float sum, float) const {
    float square = 0;
    if (real) square = add_to_residual(to, token, blockIdx.x * kRows + row, before, gain, sum);
    square *= square;
#pragma unroll
    for (int step = kSquaresOf / 2; step > 0; step /= 2)
      square += __shfl_xor_sync(~0U, square, step);
    if (real && row == 0) to.squares[token * to.squares_stride + blockIdx.x] = square;
  }
};

// Rows g are 8 of the lower half of a head, rows g + 8 their partners in the upper half.
struct StoreRope {
  static constexpr int kOutRows = kRows / 2;
  RopeAppend to;
  RopePlace place;

  __device__ int head(int block) const { return block / (to.kv.head_dim / kRows); }
  __device__ int first(int block) const { return block % (to.kv.head_dim / kRows) * kOutRows; }
  __device__ int2 weight_rows(int block, int g) const {
    const int low = head(block) * to.kv.head_dim + first(block) + g;
    return {low, low + to.kv.head_dim / 2};
  }
  __device__ void prepare(int row, int token, bool real) {
    if (real)
      place =
          rope_place(to, rope_slot(to, token), token, head(blockIdx.x), first(blockIdx.x) + row);
  }
  __device__ void fetch(int, int, bool) {}
  __device__ void store(int, int, bool real, float a, float b) const {
    if (real) place.store(a, b);
  }
};

// ---- kernel ------------------------------------------------------------------------------------

template <int kBlockWarps, typename Finish>
__global__ void __launch_bounds__(kBlockWarps * 32, kManyWarps / kBlockWarps)
    skinny_gemm_kernel(Finish finish, RowFactors factors, const __nv_bfloat16* x, int64_t x_stride,
                       const __nv_bfloat16* weight, int tokens, int cols) {
  __shared__ float sums[kBlockWarps][kSkinnyRows][kRows + 1];
  __shared__ float factor_of[kSkinnyRows];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c = lane % 4;
  const int chunks = cols / kChunk;
  const int2 rows = finish.weight_rows(blockIdx.x, g);
  const __nv_bfloat16* low = weight + static_cast<int64_t>(rows.x) * cols + c * 8;
  const __nv_bfloat16* high = weight + static_cast<int64_t>(rows.y) * cols + c * 8;
  Chunks now, next;
  load_weight(now, low, high, warp * kUnroll, chunks);
  if (warp == 0 && c < 2) prefetch_second_stretch<kBlockWarps>((c == 0 ? low : high) - c * 8, cols);
  const int row = threadIdx.x % Finish::kOutRows, token = threadIdx.x / Finish::kOutRows;
  const bool real = token < tokens;
  finish.prepare(row, token, real);
  wait_for_previous_kernel();
  allow_next_kernel();
  const __nv_bfloat16* input = x + min(g, tokens - 1) * x_stride + c * 8;
  Inputs now_x, next_x;
  load_input(now_x, input, g < tokens, warp * kUnroll, chunks);
  finish.fetch(row, token, real);
  const bool scales = factors.squares != nullptr && warp < tokens;
  const float squares = scales ? factors.share<32>(warp, lane) : 0.0F;
  float acc[4] = {};
  for (int first = warp * kUnroll; first < chunks; first += kUnroll * kBlockWarps) {
    load_weight(next, low, high, first + kUnroll * kBlockWarps, chunks);
    load_input(next_x, input, g < tokens, first + kUnroll * kBlockWarps, chunks);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const uint4 a = now.rows[u][0], b = now.rows[u][1], v = now_x.token[u];
      mma_16816(acc, {a.x, b.x, a.y, b.y}, v.x, v.y);
      mma_16816(acc, {a.z, b.z, a.w, b.w}, v.z, v.w);
    }
    now = next;
    now_x = next_x;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) sums[warp][2 * c + i % 2][g + i / 2 * 8] = acc[i];
  if (scales) {
    const float factor = factors.factor<32>(squares);
    if (lane == 0) factor_of[warp] = factor;
  }
  __syncthreads();
  if (token >= kSkinnyRows) return;  // whole warps
  float sum = 0, partner = 0;
#pragma unroll
  for (int w = 0; w < kBlockWarps; ++w) {
    sum += sums[w][token][row];
    if constexpr (Finish::kOutRows < kRows) partner += sums[w][token][row + 8];
  }
  if (factors.squares != nullptr && real) {
    sum *= factor_of[token];
    partner *= factor_of[token];
  }
  finish.store(row, token, real, sum, partner);
}

template <int kBlockWarps, typename Finish>
void launch_blocks(const Finish& finish, const ProductInput& x, const Weight& weight,
                   cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(weight.rows, kRows));
  launch(skinny_gemm_kernel<kBlockWarps, Finish>, dim3(blocks), kBlockWarps * 32, 0, stream, finish,
         RowFactors(x), static_cast<const __nv_bfloat16*>(x.values.data), x.values.row_stride,
         static_cast<const __nv_bfloat16*>(weight.storage.data()), static_cast<int>(x.values.rows),
         static_cast<int>(weight.cols));
}

template <typename Finish>
void launch_finishing(const Finish& finish, const ProductInput& x, const Weight& weight,
                      int num_sms, cudaStream_t stream) {
  SLUICE_CHECK(fits_skinny_gemm(x.values, weight));
  if (ceil_div(weight.rows, kRows) <= num_sms)
    return launch_blocks<kManyWarps>(finish, x, weight, stream);
  launch_blocks<kWarps>(finish, x, weight, stream);
}

}  // namespace

// ---- launchers ---------------------------------------------------------------------------------

bool fits_skinny_gemm(TensorView x, const Weight& weight) {
  return x.dtype == DType::kBF16 && weight.dtype == DType::kBF16 && x.rows <= kSkinnyRows &&
         x.cols % kChunk == 0 && x.row_stride % 8 == 0 &&
         reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

void launch_skinny_gemm(TensorView out, const ProductInput& x, const Weight& weight, int num_sms,
                        cudaStream_t stream) {
  dispatch_dtype(out.dtype, [&](auto element) {
    using Out = decltype(element);
    const Store<Out> finish{static_cast<Out*>(out.data), out.row_stride,
                            static_cast<int>(out.cols)};
    launch_finishing(finish, x, weight, num_sms, stream);
  });
}

void launch_gated_skinny_gemm(TensorView out, const ProductInput& x, const Weight& weight,
                              int num_sms, cudaStream_t stream) {
  SLUICE_CHECK(out.dtype == DType::kBF16);
  SLUICE_CHECK_EQ(out.cols % kGatedRows, 0);
  const StoreGated finish{static_cast<__nv_bfloat16*>(out.data), out.row_stride,
                          static_cast<int>(out.cols)};
  launch_finishing(finish, x, weight, num_sms, stream);
}

void launch_skinny_gemm_add_norm(const AddNorm& to, TensorView x, const Weight& weight, int num_sms,
                                 cudaStream_t stream) {
  SLUICE_CHECK_EQ(weight.rows % kRows, 0);
  launch_finishing(StoreAddNorm{.to = to, .before = 0, .gain = 0}, x, weight, num_sms, stream);
}

void launch_skinny_gemm_rope(const RopeAppend& to, const ProductInput& x, const Weight& weight,
                             int num_sms, cudaStream_t stream) {
  SLUICE_CHECK_EQ(to.kv.head_dim % kRows, 0);
  launch_finishing(StoreRope{.to = to, .place = {}}, x, weight, num_sms, stream);
}

}  // namespace sluice::cuda
