// What `sluice bench kernels` times: every op of a Backend at the sizes of one model.
#pragma once

#include "engine/model/model_config.h"
#include "kernels/backend.h"
#include "server/cli/op_timer.h"

namespace sluice {

// Data are random; weights and caches come in copies that take turns, so that none is found in the
// device's cache. Each group allocates what it needs and gives it back. All fail with
// kResourceExhausted only where a single weight does not fit; a workload that is too large for the
// memory left is skipped.
class KernelWorkloads {
 public:
  // `weights`: element type of weights, keys and values.
  KernelWorkloads(Backend& backend, const ModelConfig& model, DType weights, OpTimer& timer)
      : backend_(backend),
        model_(model),
        weights_(weights),
        activations_(backend.activation_dtype(weights)),
        timer_(timer) {}

  Status run();

 private:
  // The model's matrix products, at 1 ... 2048 rows.
  Status gemms();
  Status gemm(const char* name, int64_t in, int64_t out, bool to_logits);
  // Norms, rotation, activation function, look-ups.
  Status row_ops();
  Status norm();
  Status silu();
  Status rope();
  Status lookups();
  // Attention of one layer: decodes that are long, many, uneven; whole prompts.
  Status attention();
  Status attend(const std::string& op, const std::string& size, const std::vector<int>& kv_lens,
                int new_tokens);
  Status sampling();

  // Memory of a dense tensor, full of random numbers in [-scale, scale].
  Result<Buffer> random_rows(int64_t rows, int64_t cols, DType dtype, float scale = 1.0F);
  KvCacheView cache_view(std::byte* arena) const;

  Backend& backend_;
  const ModelConfig& model_;
  DType weights_, activations_;
  OpTimer& timer_;
  uint64_t seed_ = 0;  // of the next random numbers
};

}  // namespace sluice
