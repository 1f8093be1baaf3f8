// Dense bf16 and f32 products through cuBLASLt, f32 accumulation. cublasLt.h is included in
// dense.cc only.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <memory>
#include <vector>

#include "kernels/tensor.h"

namespace sluice::cuda {

// One of cuBLASLt's algorithms with its parameters; means the same to the same version of it.
struct DenseAlgorithm {
  std::array<uint64_t, 8> words{};

  bool operator==(const DenseAlgorithm&) const = default;
};

class DenseGemm {
 public:
  // `workspace` is device memory that the products of one stream share.
  DenseGemm(void* workspace, size_t workspace_bytes);
  ~DenseGemm();
  // Rows must start at 16 bytes: what every fast cuBLASLt kernel wants, and some dtypes need.
  static bool fits(TensorView out, TensorView x);
  // Of cuBLASLt, as "130002" for 13.0.2.
  static size_t version();

  // What cuBLASLt thinks fastest, best first: one to `most` of them.
  std::vector<DenseAlgorithm> guesses(TensorView out, TensorView x, const Weight& weight,
                                      int most) const;
  // True where `algorithm` can compute this product in the workspace.
  bool takes(const DenseAlgorithm& algorithm, TensorView out, TensorView x,
             const Weight& weight) const;
  // out = x * weight^T; weight row-major [out.cols, x.cols]. False, and nothing happens, where
  // `algorithm` cannot compute it.
  [[nodiscard]] bool run(TensorView out, TensorView x, const Weight& weight,
                         const DenseAlgorithm& algorithm, cudaStream_t stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::cuda
