// Splitting f32 rows into two bf16 rows each, and adding the two halves of a product: memory
// traffic, a vector a thread.
#include <algorithm>

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/gemm/split.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 128;
constexpr size_t kScratchBytes = size_t{64} << 20;  // of the inputs, and of the results
constexpr int64_t kRoundRows = 8192;                // at most; gridDim.y takes 65,535
constexpr int64_t kRowAlignment = 8;                // elements: what the fast products want

// ---- kernels -----------------------------------------------------------------------------------

// high = bf16(x), low = bf16(x - high); `low_offset` elements apart. Grid: (column tiles, rows).
template <int V>
__global__ void __launch_bounds__(kThreads)
    split_rows_kernel(__nv_bfloat16* high, int64_t stride, int64_t low_offset, const float* x,
                      int64_t x_stride, int cols) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int col = (blockIdx.x * kThreads + threadIdx.x) * V;
  if (col >= cols) return;
  float values[V];
  load<V>(values, x + blockIdx.y * x_stride + col);
  __nv_bfloat16* to = high + blockIdx.y * stride + col;
  store<V>(to, values);
#pragma unroll
  for (int i = 0; i < V; ++i) values[i] -= to_f32(from_f32<__nv_bfloat16>(values[i]));
  store<V>(to + low_offset, values);
}

// out[t, :] = y[t, :] + the row `low_offset` elements on. Grid: (column tiles, rows).
template <int V, typename Out>
__global__ void __launch_bounds__(kThreads)
    add_halves_kernel(Out* out, int64_t out_stride, const float* y, int64_t stride,
                      int64_t low_offset, int cols) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int col = (blockIdx.x * kThreads + threadIdx.x) * V;
  if (col >= cols) return;
  float high[V], low[V];
  const float* from = y + blockIdx.y * stride + col;
  load<V>(high, from);
  load<V>(low, from + low_offset);
#pragma unroll
  for (int i = 0; i < V; ++i) high[i] += low[i];
  store<V>(out + blockIdx.y * out_stride + col, high);
}

// ---- launchers ---------------------------------------------------------------------------------

dim3 grid_of(int64_t rows, int64_t cols, int vector) {
  return {static_cast<unsigned>(ceil_div(cols, int64_t{kThreads} * vector)),
          static_cast<unsigned>(rows)};
}

// `halves` has twice the rows of x: the high ones first.
void launch_split_rows(TensorView halves, TensorView x, cudaStream_t stream) {
  dispatch_vector({halves, x}, x.cols, [&](auto width) {
    launch(split_rows_kernel<width>, grid_of(x.rows, x.cols, width), kThreads, 0, stream,
           static_cast<__nv_bfloat16*>(halves.data), halves.row_stride, x.rows * halves.row_stride,
           static_cast<const float*>(x.data), x.row_stride, static_cast<int>(x.cols));
  });
}

void launch_add_halves(TensorView out, TensorView halves, cudaStream_t stream) {
  dispatch_vector({out, halves}, out.cols, [&](auto width) {
    dispatch_dtype(out.dtype, [&](auto element) {
      using Out = decltype(element);
      launch(add_halves_kernel<width, Out>, grid_of(out.rows, out.cols, width), kThreads, 0, stream,
             static_cast<Out*>(out.data), out.row_stride, static_cast<const float*>(halves.data),
             halves.row_stride, out.rows * halves.row_stride, static_cast<int>(out.cols));
    });
  });
}

// Rows of a round: as many as both scratch buffers hold twice, rounds as equal as can be.
int64_t round_rows(int64_t rows, int64_t x_stride, int64_t out_stride) {
  const int64_t row_bytes =
      2 * std::max(x_stride * int64_t{sizeof(__nv_bfloat16)}, out_stride * int64_t{sizeof(float)});
  const int64_t most = std::min(kRoundRows, static_cast<int64_t>(kScratchBytes) / row_bytes);
  SLUICE_CHECK_LE(1, most);
  return ceil_div(rows, ceil_div(rows, most));
}

TensorView rows_of(const TensorView& x, int64_t first, int64_t count) {
  return {x.row_ptr(first), x.dtype, count, x.cols, x.row_stride};
}

}  // namespace

SplitGemm::SplitGemm(Backend& memory)
    : inputs_(memory.allocate(kScratchBytes, Memory::kDevice).value()),
      results_(memory.allocate(kScratchBytes, Memory::kDevice).value()) {}

void SplitGemm::run(TensorView out, TensorView x, const Weight& weight, const Product& product,
                    cudaStream_t stream) {
  SLUICE_CHECK(x.dtype == DType::kF32);
  SLUICE_CHECK(weight.dtype == DType::kBF16);
  const int64_t x_stride = round_up(x.cols, kRowAlignment);
  const int64_t out_stride = round_up(out.cols, kRowAlignment);
  const int64_t step = round_rows(x.rows, x_stride, out_stride);
  for (int64_t first = 0; first < x.rows; first += step) {
    const int64_t rows = std::min(step, x.rows - first);
    const TensorView input{inputs_.data(), DType::kBF16, 2 * rows, x.cols, x_stride};
    const TensorView result{results_.data(), DType::kF32, 2 * rows, out.cols, out_stride};
    launch_split_rows(input, rows_of(x, first, rows), stream);
    product(result, input, weight);
    launch_add_halves(rows_of(out, first, rows), result, stream);
  }
}

}  // namespace sluice::cuda
