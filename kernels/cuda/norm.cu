// RMSNorm, alone and fused with the residual addition before it. One block a row, one pass over
// memory.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/gemm/fusions.cuh"
#include "kernels/cuda/launchers.h"

namespace sluice::cuda {
namespace {

// Vectors that one thread keeps in registers between the two passes: rows up to 16 k elements in
// eights.
constexpr int kMaxVectors = 4;
constexpr int kMaxThreads = 512;

// ---- kernels -----------------------------------------------------------------------------------

template <typename T, int V, int kVectors, bool kAdd>
__global__ void __launch_bounds__(kMaxThreads)
    rms_norm_kernel(T* out, int64_t out_stride, T* x, int64_t x_stride, const T* delta,
                    int64_t delta_stride, const float* weight, int cols, float eps) {
  allow_next_kernel();
  wait_for_previous_kernel();
  T* x_row = x + blockIdx.x * x_stride;
  float values[kVectors][V];
  float sum = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int col = (v * blockDim.x + threadIdx.x) * V;
    if (col >= cols) break;
    load<V>(values[v], x_row + col);
    if constexpr (kAdd) {
      float addend[V];
      load<V>(addend, delta + blockIdx.x * delta_stride + col);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        // The residual is kept in T, and the norm is taken of what is kept: a later reader sees the
        // same.
        values[v][i] = to_f32(from_f32<T>(values[v][i] + addend[i]));
      }
      store<V>(x_row + col, values[v]);
    }
#pragma unroll
    for (int i = 0; i < V; ++i) sum += values[v][i] * values[v][i];
  }
  const float scale = rsqrtf(block_sum(sum) / static_cast<float>(cols) + eps);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int col = (v * blockDim.x + threadIdx.x) * V;
    if (col >= cols) break;
    float gain[V];
    load<V>(gain, weight + col);
#pragma unroll
    for (int i = 0; i < V; ++i) values[v][i] *= scale * gain[i];
    store<V>(out + blockIdx.x * out_stride + col, values[v]);
  }
}

constexpr int kCompleteThreads = 128;

// out = values, each row by its factor, which every warp works out. Grid: (column tiles, rows).
template <int V>
__global__ void __launch_bounds__(kCompleteThreads)
    complete_kernel(__nv_bfloat16* out, int64_t out_stride, const __nv_bfloat16* values,
                    int64_t stride, RowFactors factors, int cols) {
  allow_next_kernel();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % 32;
  const float factor = factors.factor<32>(factors.share<32>(blockIdx.y, lane));
  const int col = (blockIdx.x * kCompleteThreads + threadIdx.x) * V;
  if (col >= cols) return;
  float row[V];
  load<V>(row, values + blockIdx.y * stride + col);
#pragma unroll
  for (int i = 0; i < V; ++i) row[i] *= factor;
  store<V>(out + blockIdx.y * out_stride + col, row);
}

constexpr int kHeadThreads = 32;

// One warp a head, in place: each thread reads the elements that it writes. Grid: (heads, rows).
template <typename T>
__global__ void __launch_bounds__(kHeadThreads)
    norm_heads_kernel(T* x, int64_t stride, const float* weight, int width, float eps) {
  allow_next_kernel();
  wait_for_previous_kernel();
  T* head = x + blockIdx.y * stride + static_cast<int64_t>(blockIdx.x) * width;
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += kHeadThreads) {
    const float value = to_f32(head[i]);
    sum += value * value;
  }
  const float scale = rsqrtf(block_sum(sum) / static_cast<float>(width) + eps);
  for (int i = threadIdx.x; i < width; i += kHeadThreads)
    head[i] = from_f32<T>(to_f32(head[i]) * scale * weight[i]);
}

// ---- launchers ---------------------------------------------------------------------------------

template <typename T, int V, int kVectors>
void launch_width(TensorView out, TensorView x, const TensorView* delta, TensorView weight,
                  float eps, int threads, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(x.rows));
  T* to = static_cast<T*>(out.data);
  T* from = static_cast<T*>(x.data);
  const auto* gain = static_cast<const float*>(weight.data);
  const int cols = static_cast<int>(x.cols);
  if (delta != nullptr) {
    launch(rms_norm_kernel<T, V, kVectors, true>, grid, threads, 0, stream, to, out.row_stride,
           from, x.row_stride, static_cast<const T*>(delta->data), delta->row_stride, gain, cols,
           eps);
  } else {
    launch(rms_norm_kernel<T, V, kVectors, false>, grid, threads, 0, stream, to, out.row_stride,
           from, x.row_stride, nullptr, 0, gain, cols, eps);
  }
}

}  // namespace

void launch_rms_norm(TensorView out, TensorView x, const TensorView* delta, TensorView weight,
                     float eps, cudaStream_t stream) {
  const TensorView& addend = delta != nullptr ? *delta : x;
  dispatch_vector({out, x, addend, weight}, x.cols, [&](auto width) {
    constexpr int V = width;
    SLUICE_CHECK_LE(x.cols, int64_t{kMaxVectors} * kMaxThreads * V);
    const auto vectors = static_cast<int>(x.cols / V);
    const auto threads = static_cast<int>(std::min<int64_t>(kMaxThreads, round_up(vectors, 32)));
    dispatch_dtype(x.dtype, [&](auto element) {
      using T = decltype(element);
      const int64_t passes = ceil_div(vectors, threads);
      if (passes == 1) return launch_width<T, V, 1>(out, x, delta, weight, eps, threads, stream);
      if (passes == 2) return launch_width<T, V, 2>(out, x, delta, weight, eps, threads, stream);
      launch_width<T, V, kMaxVectors>(out, x, delta, weight, eps, threads, stream);
    });
  });
}

void launch_complete(TensorView out, const ProductInput& x, cudaStream_t stream) {
  SLUICE_CHECK(out.dtype == DType::kBF16 && x.values.dtype == DType::kBF16);
  dispatch_vector({out, x.values}, out.cols, [&](auto width) {
    const dim3 grid(static_cast<unsigned>(ceil_div(out.cols, int64_t{kCompleteThreads} * width)),
                    static_cast<unsigned>(out.rows));
    launch(complete_kernel<width>, grid, kCompleteThreads, 0, stream,
           static_cast<__nv_bfloat16*>(out.data), out.row_stride,
           static_cast<const __nv_bfloat16*>(x.values.data), x.values.row_stride, RowFactors(x),
           static_cast<int>(out.cols));
  });
}

void launch_norm_heads(TensorView x, TensorView weight, float eps, cudaStream_t stream) {
  SLUICE_CHECK_LE(x.rows, 65535);
  const dim3 grid(static_cast<unsigned>(x.cols / weight.cols), static_cast<unsigned>(x.rows));
  dispatch_dtype(x.dtype, [&](auto element) {
    using T = decltype(element);
    launch(norm_heads_kernel<T>, grid, kHeadThreads, 0, stream, static_cast<T*>(x.data),
           x.row_stride, static_cast<const float*>(weight.data), static_cast<int>(weight.cols),
           eps);
  });
}

}  // namespace sluice::cuda
