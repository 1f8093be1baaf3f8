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

// ---- kernel ------------------------------------------------------------------------------------

// The start of the stretch after the first, of one row.
template <int kBlockWarps>
__device__ void prefetch_second_stretch(const __nv_bfloat16* row, int cols) {
  constexpr int kFirst = kBlockWarps * kUnroll * kChunk;
  if (cols >= kFirst + kPrefetchBytes / 2) bulk_prefetch(row + kFirst, kPrefetchBytes);
}

// kGated: `rows` is half of W's; a block takes 8 of its upper half, the gates, as rows g and the 8
// that belong to them in the lower half as rows g + 8, and stores silu(gate) * up.
template <int kBlockWarps, bool kGated, typename Out>
__global__ void __launch_bounds__(kBlockWarps * 32, kManyWarps / kBlockWarps)
    skinny_gemm_kernel(Out* out, int64_t out_stride, const __nv_bfloat16* x, int64_t x_stride,
                       const __nv_bfloat16* weight, int tokens, int rows, int cols) {
  __shared__ float sums[kBlockWarps][kSkinnyRows][kRows + 1];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, c = lane % 4;
  constexpr int kOutRows = kGated ? kRows / 2 : kRows;
  const int first_row = blockIdx.x * kOutRows, chunks = cols / kChunk;
  // Rows past the end read the last row; their sums are not stored.
  const int low_row = min(first_row + g, rows - 1);
  const int high_row = kGated ? rows + low_row : min(first_row + g + 8, rows - 1);
  const __nv_bfloat16* low = weight + static_cast<int64_t>(low_row) * cols + c * 8;
  const __nv_bfloat16* high = weight + static_cast<int64_t>(high_row) * cols + c * 8;
  Chunks now, next;
  load_weight(now, low, high, warp * kUnroll, chunks);
  if (warp == 0 && c < 2) prefetch_second_stretch<kBlockWarps>((c == 0 ? low : high) - c * 8, cols);
  wait_for_previous_kernel();
  allow_next_kernel();
  const __nv_bfloat16* input = x + min(g, tokens - 1) * x_stride + c * 8;
  Inputs now_x, next_x;
  load_input(now_x, input, g < tokens, warp * kUnroll, chunks);
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
  __syncthreads();
  const int row = threadIdx.x % kOutRows, token = threadIdx.x / kOutRows;
  if (first_row + row >= rows || token >= tokens) return;
  float sum = 0, up = 0;
#pragma unroll
  for (int w = 0; w < kBlockWarps; ++w) {
    sum += sums[w][token][row];
    if constexpr (kGated) up += sums[w][token][row + 8];
  }
  if constexpr (kGated) sum = silu(sum) * up;
  out[token * out_stride + first_row + row] = from_f32<Out>(sum);
}

template <int kBlockWarps, bool kGated, typename Out>
void launch_blocks(TensorView out, TensorView x, const Weight& weight, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(weight.rows, kRows));
  launch(skinny_gemm_kernel<kBlockWarps, kGated, Out>, dim3(blocks), kBlockWarps * 32, 0, stream,
         static_cast<Out*>(out.data), out.row_stride, static_cast<const __nv_bfloat16*>(x.data),
         x.row_stride, static_cast<const __nv_bfloat16*>(weight.storage.data()),
         static_cast<int>(x.rows), static_cast<int>(out.cols), static_cast<int>(weight.cols));
}

}  // namespace

// ---- launcher ----------------------------------------------------------------------------------

bool fits_skinny_gemm(TensorView out, TensorView x, const Weight& weight) {
  return x.dtype == DType::kBF16 && weight.dtype == DType::kBF16 && out.rows <= kSkinnyRows &&
         x.cols % kChunk == 0 && x.row_stride % 8 == 0 &&
         reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

void launch_skinny_gemm(TensorView out, TensorView x, const Weight& weight, int num_sms,
                        cudaStream_t stream) {
  SLUICE_CHECK(fits_skinny_gemm(out, x, weight));
  const bool few = ceil_div(weight.rows, kRows) <= num_sms;
  dispatch_dtype(out.dtype, [&](auto element) {
    using Out = decltype(element);
    if (few) return launch_blocks<kManyWarps, false, Out>(out, x, weight, stream);
    launch_blocks<kWarps, false, Out>(out, x, weight, stream);
  });
}

void launch_gated_skinny_gemm(TensorView out, TensorView x, const Weight& weight, int num_sms,
                              cudaStream_t stream) {
  SLUICE_CHECK(fits_skinny_gemm(out, x, weight));
  SLUICE_CHECK(out.dtype == DType::kBF16);
  SLUICE_CHECK_EQ(out.cols % kGatedRows, 0);
  if (ceil_div(weight.rows, kRows) <= num_sms)
    return launch_blocks<kManyWarps, true, __nv_bfloat16>(out, x, weight, stream);
  launch_blocks<kWarps, true, __nv_bfloat16>(out, x, weight, stream);
}

}  // namespace sluice::cuda
