// Every launcher of the CUDA backend: pointers, sizes, the stream last. The table of contents.
//
// Launchers enqueue and return; a failed launch throws InternalError. Device pointers unless a name
// says host. `T` activations are float or __nv_bfloat16, chosen by DType at the call.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace sluice::cuda {

// weight.cu: formulas in kernels/cpu/packed_weight.h; weights lie row-major [rows, cols].
void launch_random_weight(void* out, DType dtype, int64_t rows, int64_t cols, uint64_t seed,
                          float scale, cudaStream_t stream);

// norm.cu: `delta` may be null (plain RMSNorm of x). With it: x += delta first, kept in x.
void launch_rms_norm(TensorView out, TensorView x, const TensorView* delta, TensorView weight,
                     float eps, cudaStream_t stream);
// out = x with the factors that its rows lack, bf16.
void launch_complete(TensorView out, const ProductInput& x, cudaStream_t stream);
// Each run of weight.cols elements of a row by itself, in place.
void launch_norm_heads(TensorView x, TensorView weight, float eps, cudaStream_t stream);

// elementwise.cu
void launch_embed(TensorView out, const Weight& table, const TokenId* ids, const TokenId* sampled,
                  cudaStream_t stream);
// out[t, :] = x[t, :] as out's dtype.
void launch_convert(TensorView out, TensorView x, cudaStream_t stream);
void launch_silu_mul(TensorView out, TensorView gate_up, cudaStream_t stream);
void launch_gelu_mul(TensorView out, TensorView gate_up, cudaStream_t stream);
// x = cap * tanh(x / cap), f32.
void launch_soft_cap(TensorView x, float cap, cudaStream_t stream);
// x = x * factor + delta; delta of x's shape and dtype, or [1, cols] f32 for every row, or null.
void launch_scale_add(TensorView x, float factor, const TensorView* delta, cudaStream_t stream);
void launch_gather_rows(TensorView out, TensorView x, const int32_t* rows, cudaStream_t stream);

// rope.cu: rotates, appends to the cache in the order of kv_tile.cuh.
void launch_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                           const RaggedBatchView& batch, const KvCacheView& kv,
                           cudaStream_t stream);

}  // namespace sluice::cuda
