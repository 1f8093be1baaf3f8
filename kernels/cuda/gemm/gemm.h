// Every product of the backend: by which kernel, and how that was found out.
//
//   rows of x   1 ... 8     skinny.cu
//               9 ... 64    ring.cu or cuBLASLt (dense.cc), by measurement
//               65 ...      one of cuBLASLt's algorithms, by measurement
//   odd shapes              plain.cu
#pragma once

#include <cuda_runtime_api.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/gemm/choices.h"
#include "kernels/cuda/gemm/dense.h"
#include "kernels/cuda/gemm/ring.h"

namespace sluice::cuda {

// One stream's products; not thread-safe.
class Gemm {
 public:
  // Choices are kept between starts in `cache_dir`; empty: nowhere.
  Gemm(Backend& memory, const cudaDeviceProp& card, const std::string& cache_dir,
       cudaStream_t stream);

  // out = x * weight^T of operands of one dtype; out of it too, or f32. A shape that was not
  // prepared takes what is likeliest to be fast, without measuring.
  void run(TensorView out, const ProductInput& x, const Weight& weight);

  // out = silu(x * Wg^T) * (x * Wu^T), weight = Wg's rows, then Wu's; false, and nothing happens,
  // where the kernel that suits the product of `weight` cannot do both.
  bool run_gated(TensorView out, const ProductInput& x, const Weight& weight);

  // As Backend::gemm_add_rms_norm, the rows lacking factors; nothing, and nothing happens, where
  // the kernel that suits the product cannot do it all.
  std::optional<ProductInput> run_add_norm(TensorView out, TensorView residual, TensorView x,
                                           const Weight& weight, TensorView norm, float eps);

  // As Backend::gemm_rope_append_kv; false, and nothing happens, as above.
  bool run_rope_append_kv(TensorView qkv, const ProductInput& x, const Weight& weight,
                          int num_q_heads, const RopeTable& rope, const RaggedBatchView& batch,
                          const KvCacheView& kv);

  // x with its factors, in memory of this object's until the next call.
  TensorView complete(const ProductInput& x) const;

  // Measures what suits products of these shapes, for 1 ... out.rows rows, where neither this
  // object nor the cache knows it yet. `weights` are of one shape; they take turns, so that
  // none is in the second-level cache. Overwrites out and x. A fraction of a second a shape.
  void prepare(TensorView out, TensorView x, std::span<const Weight* const> weights);

  const DenseGemm& dense() const { return dense_; }

 private:
  // False, and nothing happens, where the chosen kernel cannot compute it.
  [[nodiscard]] bool run(TensorView out, const ProductInput& x, const Weight& weight,
                         const GemmChoice& choice) const;
  // The cut where ring.cu is what suits the product of x and all of `weight`.
  std::optional<RingCut> ring_cut(TensorView out, TensorView x, const Weight& weight);
  // For a product that neither skinny.cu nor plain.cu serves.
  GemmChoice choose(TensorView out, TensorView x, const Weight& weight);
  // What could compute the product and its like in the row bucket, the likeliest to be fast first.
  std::vector<GemmChoice> candidates(TensorView out, TensorView x, const Weight& weight) const;
  GemmChoice fastest(TensorView out, TensorView x, std::span<const Weight* const> weights) const;
  // Milliseconds of kProducts products, each behind a small kernel.
  float milliseconds(TensorView out, TensorView x, std::span<const Weight* const> weights,
                     const GemmChoice& choice) const;

  int num_sms_;
  cudaStream_t stream_;
  Buffer workspace_;
  Buffer squares_;    // of the rows that the latest run_add_norm left
  Buffer completed_;  // complete()'s
  DenseGemm dense_;
  RingGemm ring_;
  GemmChoices choices_;     // measured
  GemmChoices guesses_;     // for shapes that nobody prepared
  std::string machine_;     // for which the choices hold
  std::string cache_path_;  // empty: none
};

}  // namespace sluice::cuda
