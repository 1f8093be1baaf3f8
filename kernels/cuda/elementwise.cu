// Embedding look-up, gated activations, sums, row gather: pure memory traffic, a vector a thread.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/launchers.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 128;

// ---- kernels -----------------------------------------------------------------------------------

// out[t, :] = table[rows[t], :] (row t itself where `rows` is null), converted from `From` to `To`.
// A negative row is a pending_token(): `sampled` has it. Grid: (column tiles, rows).
template <int V, typename To, typename From>
__global__ void __launch_bounds__(kThreads)
    select_rows_kernel(To* out, int64_t out_stride, const From* table, int64_t table_stride,
                       const int32_t* rows, const TokenId* sampled, int cols) {
  allow_next_kernel();
  wait_for_previous_kernel();
  const int col = (blockIdx.x * kThreads + threadIdx.x) * V;
  if (col >= cols) return;
  int row = rows != nullptr ? rows[blockIdx.y] : static_cast<int>(blockIdx.y);
  if (row < 0) row = max(sampled[pending_index(row)], 0);
  float values[V];
  load<V>(values, table + row * table_stride + col);
  store<V>(out + blockIdx.y * out_stride + col, values);
}

struct Silu {
  __device__ static float of(float g) { return silu(g); }
};
// (1 + tanh(x)) / 2 = sigmoid(2 x).
struct GeluTanh {
  __device__ static float of(float g) {
    constexpr float kTwiceRoot = 1.5957691216F;  // 2 sqrt(2 / pi)
    return g / (1.0F + __expf(-kTwiceRoot * g * (1.0F + 0.044715F * g * g)));
  }
};

// Grid: (column tiles, rows).
template <typename Activation, int V, typename T>
__global__ void __launch_bounds__(kThreads)
    gate_kernel(T* out, int64_t out_stride, const T* gate_up, int64_t stride, int cols) {
  allow_next_kernel();
  wait_for_previous_kernel();
  const int col = (blockIdx.x * kThreads + threadIdx.x) * V;
  if (col >= cols) return;
  float gate[V], up[V];
  load<V>(gate, gate_up + blockIdx.y * stride + col);
  load<V>(up, gate_up + blockIdx.y * stride + cols + col);
#pragma unroll
  for (int i = 0; i < V; ++i) up[i] *= Activation::of(gate[i]);
  store<V>(out + blockIdx.y * out_stride + col, up);
}

// x = x * factor + delta, where there is one. Grid: (column tiles, rows).
template <int V, typename T, typename D>
__global__ void __launch_bounds__(kThreads)
    scale_add_kernel(T* x, int64_t stride, float factor, const D* delta, int64_t delta_stride,
                     int cols) {
  allow_next_kernel();
  wait_for_previous_kernel();
  const int col = (blockIdx.x * kThreads + threadIdx.x) * V;
  if (col >= cols) return;
  float values[V], addends[V] = {};
  load<V>(values, x + blockIdx.y * stride + col);
  if (delta != nullptr) load<V>(addends, delta + blockIdx.y * delta_stride + col);
#pragma unroll
  for (int i = 0; i < V; ++i) values[i] = values[i] * factor + addends[i];
  store<V>(x + blockIdx.y * stride + col, values);
}

// Grid: (column tiles, rows).
template <int V>
__global__ void __launch_bounds__(kThreads)
    soft_cap_kernel(float* x, int64_t stride, float cap, int cols) {
  allow_next_kernel();
  wait_for_previous_kernel();
  const int col = (blockIdx.x * kThreads + threadIdx.x) * V;
  if (col >= cols) return;
  float values[V];
  load<V>(values, x + blockIdx.y * stride + col);
#pragma unroll
  for (int i = 0; i < V; ++i) values[i] = cap * tanhf(values[i] / cap);
  store<V>(x + blockIdx.y * stride + col, values);
}

// ---- launchers ---------------------------------------------------------------------------------

// gridDim.y is at most 65,535: as many rows as one launch takes. The step's token bound is far
// below.
dim3 grid_of(int64_t rows, int64_t cols, int vector) {
  SLUICE_CHECK_LE(rows, 65535);
  return {static_cast<unsigned>(ceil_div(cols, int64_t{kThreads} * vector)),
          static_cast<unsigned>(rows)};
}

template <typename To, typename From>
void select_rows(TensorView out, TensorView table, const int32_t* rows, const TokenId* sampled,
                 cudaStream_t stream) {
  dispatch_vector({out, table}, out.cols, [&](auto width) {
    launch(select_rows_kernel<width, To, From>, grid_of(out.rows, out.cols, width), kThreads, 0,
           stream, static_cast<To*>(out.data), out.row_stride, static_cast<const From*>(table.data),
           table.row_stride, rows, sampled, static_cast<int>(out.cols));
  });
}

template <typename Activation>
void gate(TensorView out, TensorView gate_up, cudaStream_t stream) {
  dispatch_vector({out, gate_up}, out.cols, [&](auto width) {
    dispatch_dtype(out.dtype, [&](auto element) {
      using T = decltype(element);
      launch(gate_kernel<Activation, width, T>, grid_of(out.rows, out.cols, width), kThreads, 0,
             stream, static_cast<T*>(out.data), out.row_stride, static_cast<const T*>(gate_up.data),
             gate_up.row_stride, static_cast<int>(out.cols));
    });
  });
}

}  // namespace

void launch_embed(TensorView out, const Weight& table, const TokenId* ids, const TokenId* sampled,
                  cudaStream_t stream) {
  const auto rows = TensorView::dense(table.storage.data(), table.dtype, table.rows, table.cols);
  dispatch_dtype(out.dtype, [&](auto to) {
    dispatch_dtype(table.dtype, [&](auto from) {
      select_rows<decltype(to), decltype(from)>(out, rows, ids, sampled, stream);
    });
  });
}

void launch_convert(TensorView out, TensorView x, cudaStream_t stream) {
  dispatch_dtype(out.dtype, [&](auto to) {
    dispatch_dtype(x.dtype, [&](auto from) {
      select_rows<decltype(to), decltype(from)>(out, x, nullptr, nullptr, stream);
    });
  });
}

void launch_gather_rows(TensorView out, TensorView x, const int32_t* rows, cudaStream_t stream) {
  dispatch_dtype(out.dtype, [&](auto element) {
    using T = decltype(element);
    select_rows<T, T>(out, x, rows, nullptr, stream);
  });
}

void launch_silu_mul(TensorView out, TensorView gate_up, cudaStream_t stream) {
  gate<Silu>(out, gate_up, stream);
}

void launch_gelu_mul(TensorView out, TensorView gate_up, cudaStream_t stream) {
  gate<GeluTanh>(out, gate_up, stream);
}

void launch_soft_cap(TensorView x, float cap, cudaStream_t stream) {
  dispatch_vector({x}, x.cols, [&](auto width) {
    launch(soft_cap_kernel<width>, grid_of(x.rows, x.cols, width), kThreads, 0, stream,
           static_cast<float*>(x.data), x.row_stride, cap, static_cast<int>(x.cols));
  });
}

void launch_scale_add(TensorView x, float factor, const TensorView* delta, cudaStream_t stream) {
  const TensorView addend = delta != nullptr ? *delta : x;
  dispatch_vector({x, addend}, x.cols, [&](auto width) {
    dispatch_dtype(x.dtype, [&](auto element) {
      dispatch_dtype(addend.dtype, [&](auto other) {
        using T = decltype(element);
        using D = decltype(other);
        launch(scale_add_kernel<width, T, D>, grid_of(x.rows, x.cols, width), kThreads, 0, stream,
               static_cast<T*>(x.data), x.row_stride, factor,
               delta != nullptr ? static_cast<const D*>(delta->data) : nullptr,
               addend.rows == 1 ? 0 : addend.row_stride, static_cast<int>(x.cols));
      });
    });
  });
}

}  // namespace sluice::cuda
