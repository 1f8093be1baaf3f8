// Products of bf16 weights that keep 16 bits of their f32 inputs' mantissa.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "kernels/backend.h"

namespace sluice::cuda {

// Each row of x goes in as two bf16 rows, its rounding and what the rounding lost; the two rows of
// the result are added in f32:
//
//   x f32 [T, K] -> | high | bf16 [2 T, K] -> product -> | y high | f32 [2 T, N] -> sum -> out [T,
//   N]
//                   | low  |                             | y low  |
//
// Where the weight's bytes are the cost (few rows) that is as fast as one bf16 product, for prompts
// half as fast. Rows go in rounds that fit scratch memory of a fixed size, allocated once.
class SplitGemm {
 public:
  explicit SplitGemm(Backend& memory);

  // Computes out = x * weight^T of bf16 x into f32 out, both dense up to padding of rows.
  using Product = std::function<void(TensorView out, TensorView x, const Weight& weight)>;
  // out = x * weight^T      x [T, K] f32; weight [N, K] bf16; out [T, N] f32 or bf16
  void run(TensorView out, TensorView x, const Weight& weight, const Product& product,
           cudaStream_t stream);

 private:
  Buffer inputs_, results_;
};

}  // namespace sluice::cuda
