// A product that is easy to believe: one warp an element, lanes along K.
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/gemm/plain.h"

namespace sluice::cuda {
namespace {

constexpr int kWarps = 8;

// Grid: (ceil(out columns / kWarps), tokens).
template <typename Out, typename T>
__global__ void plain_gemm_kernel(Out* out, int64_t out_stride, const T* x, int64_t x_stride,
                                  const T* weight, int rows, int cols) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int row = blockIdx.x * kWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  float sum = 0;
  for (int k = lane; k < cols; k += 32) {
    sum +=
        to_f32(x[blockIdx.y * x_stride + k]) * to_f32(weight[static_cast<int64_t>(row) * cols + k]);
  }
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0U, sum, step);
  if (lane == 0) out[blockIdx.y * out_stride + row] = from_f32<Out>(sum);
}

}  // namespace

void launch_plain_gemm(TensorView out, TensorView x, const Weight& weight, cudaStream_t stream) {
  SLUICE_CHECK(x.dtype == weight.dtype);
  const dim3 grid(static_cast<unsigned>(ceil_div(weight.rows, kWarps)),
                  static_cast<unsigned>(x.rows));
  dispatch_dtype(out.dtype, [&](auto to) {
    dispatch_dtype(x.dtype, [&](auto from) {
      using Out = decltype(to);
      using T = decltype(from);
      launch(plain_gemm_kernel<Out, T>, grid, kWarps * 32, 0, stream, static_cast<Out*>(out.data),
             out.row_stride, static_cast<const T*>(x.data), x.row_stride,
             static_cast<const T*>(weight.storage.data()), static_cast<int>(weight.rows),
             static_cast<int>(weight.cols));
    });
  });
}

}  // namespace sluice::cuda
