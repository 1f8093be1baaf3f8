// A decoder of a given shape with random weights, run on Backend ops alone: what a step costs
// without an engine around it.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace sluice {

struct ModelShape {
  const char* name;
  int layers, hidden, intermediate, q_heads, kv_heads, head_dim, vocab;
};

inline constexpr ModelShape kTiny = {"sluice-tiny", 12, 256, 768, 4, 2, 64, 8192};
inline constexpr ModelShape kSmol135m = {"smollm2-135m", 30, 576, 1536, 9, 3, 64, 49152};

class BenchModel {
 public:
  // Room for `max_seqs` sequences of `max_tokens` tokens and steps of `max_step` tokens.
  BenchModel(Backend& backend, const ModelShape& shape, int max_seqs, int max_tokens, int max_step);

  // One step: `new_tokens` tokens for each of `seqs` sequences, up to kv_len; a greedy token each.
  void step(int seqs, int new_tokens, int kv_len);

 private:
  struct Layer {
    Weight qkv, out, gate_up, down;
  };
  TensorView rows(Buffer& buffer, int64_t count, int64_t cols) const;
  void run_layer(const Layer& layer, int index, const RaggedBatchView& batch);
  KvCacheView kv_layer(int index) const;

  Backend& backend_;
  ModelShape shape_;
  int blocks_per_seq_;
  std::vector<Layer> layers_;
  Weight head_;
  std::vector<float> ones_, cos_, sin_;
  Buffer arena_, hidden_, normed_, qkv_, attended_, gate_up_, activated_, logits_;
};

}  // namespace sluice
