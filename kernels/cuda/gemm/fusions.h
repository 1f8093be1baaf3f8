// What products can do beside multiplying, as the kernels are told it.
#pragma once

#include <cuda_bf16.h>

#include "kernels/backend.h"

namespace sluice::cuda {

// Elements of a row whose squares are summed up together: the rows of a tensor-core tile of W.
inline constexpr int kSquaresOf = 16;

// residual += product; out = residual * norm; squares [tokens, columns / kSquaresOf] of the
// residual: the half of Backend::gemm_add_rms_norm that needs no other column.
struct AddNorm {
  __nv_bfloat16* out;
  int64_t out_stride;
  __nv_bfloat16* residual;
  int64_t residual_stride;
  const float* norm;
  float* squares;
  int64_t squares_stride;
};

// As Backend::rope_append_kv of the product, whose columns of q go to `qkv`.
struct RopeAppend {
  __nv_bfloat16* qkv;
  int64_t stride;
  int num_q_heads;
  RopeTable rope;
  RaggedBatchView batch;
  KvCacheView kv;
};

}  // namespace sluice::cuda
