// Products with few rows, bound by the bytes of the weight.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/tensor.h"

namespace sluice::cuda {

struct AddNorm;
struct RopeAppend;

// Rows of x up to which the kernel serves, the N of one tensor-core product; above, cuBLASLt wins.
inline constexpr int kSkinnyRows = 8;

// True where the launchers below serve these operands: bf16, 1 ... kSkinnyRows rows, x.cols % 32 ==
// 0, aligned.
bool fits_skinny_gemm(TensorView x, const Weight& weight);

// out = x * weight^T, out bf16 or f32, on a card of `num_sms`. An element's sum has one order,
// whatever the number of rows.
void launch_skinny_gemm(TensorView out, const ProductInput& x, const Weight& weight, int num_sms,
                        cudaStream_t stream);

// Rows of the gate that a gated kernel takes at a time: n must be a multiple.
inline constexpr int kGatedRows = 8;

// out = silu(x * Wg^T) * (x * Wu^T), weight = n rows Wg, then n rows Wu; out bf16 [tokens, n].
void launch_gated_skinny_gemm(TensorView out, const ProductInput& x, const Weight& weight,
                              int num_sms, cudaStream_t stream);

// The product goes where `to` says (fusions.cuh). weight.rows % 16 == 0.
void launch_skinny_gemm_add_norm(const AddNorm& to, TensorView x, const Weight& weight, int num_sms,
                                 cudaStream_t stream);
// The same; to.kv.head_dim % 16 == 0.
void launch_skinny_gemm_rope(const RopeAppend& to, const ProductInput& x, const Weight& weight,
                             int num_sms, cudaStream_t stream);

}  // namespace sluice::cuda
