// Dense bf16 and f32 products through cuBLASLt, f32 accumulation. cublasLt.h is included in
// dense.cc only.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "kernels/tensor.h"

namespace sluice::cuda {

// Chooses an algorithm once per shape (cuBLASLt's heuristic) and remembers it.
class DenseGemm {
 public:
  // `workspace` is device memory that the products of one stream share.
  DenseGemm(void* workspace, size_t workspace_bytes);
  ~DenseGemm();
  // Rows must start at 16 bytes: what every fast cuBLASLt kernel wants, and some dtypes need.
  static bool fits(TensorView out, TensorView x);
  // out = x * weight^T; weight row-major [out.cols, x.cols].
  void run(TensorView out, TensorView x, const Weight& weight, cudaStream_t stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::cuda
