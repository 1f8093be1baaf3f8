// Attention that is easy to believe: one warp a (row, query head), keys one by one, online softmax
// in f32. Serves float32 caches and rows that are not 16-byte aligned.
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMaxElements = 8;  // of head_dim a lane: 256 / 32

// Online softmax over keys given one at a time; a lane holds columns lane, lane + 32, ...
struct Accumulator {
  float max = -INFINITY;
  float total = 0;
  float sum[kMaxElements] = {};

  template <typename C>
  __device__ void add(float score, const C* v_tile, int token, int lane, int head_dim) {
    const float new_max = fmaxf(max, score);
    const float keep = __expf(max - new_max), weight = __expf(score - new_max);
    total = total * keep + weight;
    max = new_max;
    for (int e = 0, col = lane; col < head_dim; ++e, col += 32) {
      const int at = sizeof(C) == 2 ? kv_tile_index(token, col, head_dim) : token * head_dim + col;
      sum[e] = sum[e] * keep + weight * to_f32(v_tile[at]);
    }
  }
};

template <typename C>
__device__ float dot(const float* q, const C* k_tile, int token, int lane, int head_dim) {
  float partial = 0;
  for (int e = 0, col = lane; col < head_dim; ++e, col += 32) {
    const int at = sizeof(C) == 2 ? kv_tile_index(token, col, head_dim) : token * head_dim + col;
    partial += q[e] * to_f32(k_tile[at]);
  }
  for (int step = 16; step > 0; step /= 2) partial += __shfl_xor_sync(~0U, partial, step);
  return partial;
}

// Grid: (tokens of the longest chunk, sequences, ceil(q heads / kWarps)).
template <typename T, typename C>
__global__ void attend_plain_kernel(T* out, int64_t out_stride, const T* q, int64_t q_stride,
                                    int num_q_heads, AttendOptions options, RaggedBatchView batch,
                                    KvCacheView kv, KvRunsView runs) {
  wait_for_previous_kernel();
  const int s = blockIdx.y, t = blockIdx.x, head = blockIdx.z * kWarps + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int q_begin = batch.q_indptr[s], q_len = batch.q_indptr[s + 1] - q_begin;
  if (t >= q_len || head >= num_q_heads) return;
  const int kv_head = head / (num_q_heads / kv.num_kv_heads), head_dim = kv.head_dim;
  const int limit = batch.kv_lens[s] - q_len + t + 1;
  const int first_key = first_visible(limit - 1, options.window);
  const BlockId* blocks = batch.blocks + batch.block_indptr[s];

  const T* q_row = q + (q_begin + t) * q_stride + head * head_dim;
  float query[kMaxElements] = {};
  for (int e = 0, col = lane; col < head_dim; ++e, col += 32)
    query[e] = to_f32(q_row[col]) * options.scale;

  int first_run = 0, last_run = 1;
  if (runs.runs != nullptr) {
    const int list = (runs.tile_indptr[s] + t / kQueryTile) * kv.num_kv_heads + kv_head;
    first_run = runs.run_indptr[list];
    last_run = runs.run_indptr[list + 1];
  }
  Accumulator acc;
  for (int run = first_run; run < last_run; ++run) {
    const KvRun range = runs.runs != nullptr ? runs.runs[run] : KvRun{0, limit};
    const int end = min(range.start + range.len, limit);
    for (int j = max(range.start, first_key); j < end; ++j) {
      const BlockId block = blocks[j / kBlockTokens];
      const auto* k_tile = reinterpret_cast<const C*>(kv.k_tile(block, kv_head));
      const auto* v_tile = reinterpret_cast<const C*>(kv.v_tile(block, kv_head));
      float score = dot(query, k_tile, j % kBlockTokens, lane, head_dim);
      if (options.soft_cap > 0) score = options.soft_cap * tanhf(score / options.soft_cap);
      acc.add(score, v_tile, j % kBlockTokens, lane, head_dim);
    }
  }
  T* out_row = out + (q_begin + t) * out_stride + head * head_dim;
  const float inverse = acc.total > 0 ? 1.0F / acc.total : 0.0F;
  for (int e = 0, col = lane; col < head_dim; ++e, col += 32)
    out_row[col] = from_f32<T>(acc.sum[e] * inverse);
}

}  // namespace

void launch_attend_plain(TensorView out, TensorView q, int num_q_heads,
                         const AttendOptions& options, const RaggedBatchView& batch,
                         const KvCacheView& kv, const KvRunsView* runs, cudaStream_t stream) {
  int longest = 0;
  for (int s = 0; s < batch.num_seqs; ++s) {
    longest = std::max(longest, batch.host->q_indptr[s + 1] - batch.host->q_indptr[s]);
  }
  const dim3 grid(longest, batch.num_seqs, static_cast<unsigned>(ceil_div(num_q_heads, kWarps)));
  dispatch_dtype(q.dtype, [&](auto element) {
    dispatch_dtype(kv.dtype, [&](auto cached) {
      using T = decltype(element);
      launch(attend_plain_kernel<T, decltype(cached)>, dim3(grid), kWarps * 32, 0, stream,
             static_cast<T*>(out.data), out.row_stride, static_cast<const T*>(q.data), q.row_stride,
             num_q_heads, options, batch, kv, runs != nullptr ? *runs : KvRunsView{});
    });
  });
}

}  // namespace sluice::cuda
