// What the card does at best, measured: Backend::measure_ceilings of CUDA.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cuda/gemm/dense.h"

namespace sluice::cuda {

// Takes up to 2 GiB of device memory from `backend` meanwhile. Waits for `stream`. Fails when there
// is not enough.
Result<Ceilings> measure_ceilings(Backend& backend, const DenseGemm& gemm, cudaStream_t stream);

}  // namespace sluice::cuda
