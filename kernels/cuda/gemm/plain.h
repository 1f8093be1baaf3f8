// The product for shapes that no fast kernel takes: odd widths, unaligned rows.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/tensor.h"

namespace sluice::cuda {

// out = x * weight^T, one warp an element, f32 sums. x and weight of one dtype.
void launch_plain_gemm(TensorView out, TensorView x, const Weight& weight, cudaStream_t stream);

}  // namespace sluice::cuda
