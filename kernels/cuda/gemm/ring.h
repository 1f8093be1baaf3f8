// Products with 9 to 64 rows, bound by the bytes of the weight, on Hopper's tensor cores.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "kernels/tensor.h"

namespace sluice::cuda {

struct AddNorm;

// Rows of x up to which RingGemm serves; above, cuBLASLt is as fast.
inline constexpr int kRingRows = 64;

// How a product is cut into blocks of threads: tiles of weight rows times slices of K.
struct RingCut {
  int tile_rows = 0;  // a multiple of 16, at most 128
  int slices = 0;     // at most 8: the blocks of a cluster
  int stages = 0;     // of the ring; up to ring_stages(rows) two blocks share an SM

  bool operator==(const RingCut&) const = default;
};

class RingGemm {
 public:
  explicit RingGemm(int num_sms);
  // bf16 operands whose rows start at 16 bytes, at most kRingRows rows.
  static bool fits(TensorView x, const Weight& weight);
  // True for a cut that run() takes.
  static bool valid(const RingCut& cut, int64_t rows);
  // Cuts worth trying for `rows` rows of x and a weight of `weight_rows`, the likeliest first.
  std::vector<RingCut> cuts(int64_t rows, int64_t weight_rows) const;
  // out = x * weight^T, `out` bf16 or f32. An element's sum has one order, given the cut.
  void run(TensorView out, const ProductInput& x, const Weight& weight, const RingCut& cut,
           cudaStream_t stream) const;
  // out = silu(x * Wg^T) * (x * Wu^T), weight = n rows Wg, then n rows Wu, n % 8 == 0; out bf16
  // [tokens, n].
  void run_gated(TensorView out, const ProductInput& x, const Weight& weight, const RingCut& cut,
                 cudaStream_t stream) const;
  // The product goes where `to` says (fusions.cuh). weight.rows % 16 == 0.
  void run_add_norm(const AddNorm& to, TensorView x, const Weight& weight, const RingCut& cut,
                    cudaStream_t stream) const;

 private:
  int num_sms_;
  void* encode_;  // the driver's cuTensorMapEncodeTiled
};

}  // namespace sluice::cuda
