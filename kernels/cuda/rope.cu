// Rotary embedding of q and k and the append of k and v to the cache, in one pass over the step's
// qkv rows.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kv_tile.cuh"
#include "kernels/cuda/launchers.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 256;

template <typename C>
__device__ int tile_index(int token, int column, int head_dim) {
  return sizeof(C) == 2 ? kv_tile_index(token, column, head_dim) : token * head_dim + column;
}

// ---- kernel ------------------------------------------------------------------------------------

// One block a token. A thread takes V pairs (i, i + d / 2) of one q, k or v head.
template <int V, typename T, typename C>
__global__ void __launch_bounds__(kThreads)
    rope_append_kernel(T* qkv, int64_t stride, int num_q_heads, RopeTable rope,
                       RaggedBatchView batch, KvCacheView kv) {
  wait_for_previous_kernel();
  const int token = blockIdx.x;
  __shared__ int block_index;
  const int position = batch.positions[token];
  if (threadIdx.x == 0) {
    const int s = sequence_of(batch, token);
    block_index = batch.blocks[batch.block_indptr[s] + position / kBlockTokens];
  }
  __syncthreads();
  const int half = kv.head_dim / 2, threads_a_head = half / V;
  const int slot = position % kBlockTokens;
  const int num_heads = num_q_heads + 2 * kv.num_kv_heads;
  for (int unit = threadIdx.x; unit < num_heads * threads_a_head; unit += kThreads) {
    const int head = unit / threads_a_head, i = unit % threads_a_head * V;
    T* row = qkv + token * stride + head * kv.head_dim;
    float a[V], b[V];
    load<V>(a, row + i);
    load<V>(b, row + half + i);
    const bool is_v = head >= num_q_heads + kv.num_kv_heads;
    if (!is_v) {
      float cos[V], sin[V];
      load<V>(cos, rope.cos + static_cast<int64_t>(position) * half + i);
      load<V>(sin, rope.sin + static_cast<int64_t>(position) * half + i);
#pragma unroll
      for (int j = 0; j < V; ++j) {
        const float x = a[j], y = b[j];
        a[j] = x * cos[j] - y * sin[j];
        b[j] = y * cos[j] + x * sin[j];
      }
    }
    if (head < num_q_heads) {
      store<V>(row + i, a);
      store<V>(row + half + i, b);
      continue;
    }
    const int kv_head = (head - num_q_heads) % kv.num_kv_heads;
    C* tile = reinterpret_cast<C*>(is_v ? kv.v_tile(block_index, kv_head)
                                        : kv.k_tile(block_index, kv_head));
    store<V>(tile + tile_index<C>(slot, i, kv.head_dim), a);
    store<V>(tile + tile_index<C>(slot, half + i, kv.head_dim), b);
  }
  allow_next_kernel();
}

}  // namespace

// ---- launcher ----------------------------------------------------------------------------------

void launch_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                           const RaggedBatchView& batch, const KvCacheView& kv,
                           cudaStream_t stream) {
  dispatch_vector({qkv}, kv.head_dim / 2, [&](auto width) {
    dispatch_dtype(qkv.dtype, [&](auto element) {
      dispatch_dtype(kv.dtype, [&](auto cached) {
        using T = decltype(element);
        launch(rope_append_kernel<width, T, decltype(cached)>,
               dim3(static_cast<unsigned>(qkv.rows)), kThreads, 0, stream,
               static_cast<T*>(qkv.data), qkv.row_stride, num_q_heads, rope, batch, kv);
      });
    });
  });
}

}  // namespace sluice::cuda
