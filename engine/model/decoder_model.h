// DecoderModel: one forward pass for the whole tribe of RoPE, gated-MLP decoders.
//
//   embed -> [ norm, qkv, rope + append, attend, o | norm, gate_up + silu_mul, down ] x layers ->
//   norm
//                                              ^ the last layer keeps only the logit rows from here
//   lm_head on slices of those rows
//
// Biases, norms of heads, norms behind the branches and scalings join where ModelConfig says so.
// What differs between families is data (ModelConfig, families.cc), never a name in an if.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/attention/attention.h"
#include "engine/model/model_config.h"
#include "kernels/backend.h"
#include "kvcache/kv_layout.h"
#include "kvcache/kv_storage.h"

namespace sluice {

// Vectors are [1, n] f32; those that the config does not ask for have no data.
struct LayerWeights {
  TensorView attention_norm, attention_post_norm;  // [1, hidden]
  TensorView qkv_bias, o_bias;                     // [1, qkv_width], [1, hidden]
  TensorView q_norm, k_norm;                       // [1, head_dim], or whole widths
  Weight qkv;                          // [q_width + 2 kv_width, hidden]: q rows, then k, then v
  Weight o;                            // [hidden, q_width]
  TensorView mlp_norm, mlp_post_norm;  // [1, hidden]
  TensorView gate_up_bias, down_bias;  // [1, 2 intermediate], [1, hidden]
  Weight gate_up;                      // [2 intermediate, hidden]: gate rows, then up
  Weight down;                         // [hidden, intermediate]
};

struct DecoderWeights {
  Weight embedding;               // [vocab, hidden]
  std::optional<Weight> lm_head;  // [vocab, hidden]; absent: tied to the embedding
  std::vector<LayerWeights> layers;
  TensorView final_norm;  // [1, hidden] f32
  Buffer vectors;         // backs every norm and bias
  // By LayerRope; those that no layer uses are empty.
  std::array<RopeTable, 3> ropes{};
  std::array<Buffer, 3> rope_tables;  // back them: all cosines, then all sines
};

// Tensors of one step at most `max_tokens` long, allocated once. What attention, MLP and head need
// is never needed at the same time, and lies in the same place. Contents live from forward() to the
// next forward().
class Workspace {
 public:
  // Logits of `max_logit_rows` rows at a time.
  static Result<Workspace> create(Backend& backend, const ModelConfig& config, DType activations,
                                  int64_t max_tokens, int64_t max_logit_rows);

  const TensorView& logits() const { return logits_; }    // [max_logit_rows, vocab] f32
  const TensorView& scratch() const { return scratch_; }  // [some, vocab] f32, for Backend::sample

 private:
  friend class DecoderModel;
  // Points the tensors into `base`, if that is not null; bytes that they take.
  int64_t place(const ModelConfig& config, DType activations, int64_t max_tokens,
                int64_t max_logit_rows, std::byte* base);

  TensorView residual_, hidden_;  // [max_tokens, hidden]
  TensorView qkv_;                // [max_tokens, qkv_width]
  TensorView attention_;          // [max_tokens, q_width]
  TensorView gate_up_;            // [MLP rows, 2 intermediate]
  TensorView gated_;              // [MLP rows, intermediate]: the left half of gate_up_
  TensorView logits_, scratch_;
  Buffer storage_;
};

// Const after load: any number of workspaces may run through it, one at a time (the backend's
// thread).
class DecoderModel {
 public:
  // `weights` come from `backend`, which must outlive the model.
  DecoderModel(const ModelConfig& config, DecoderWeights weights, DType weight_dtype,
               Backend& backend);

  const ModelConfig& config() const { return config_; }
  DType weight_dtype() const { return weight_dtype_; }
  int64_t max_model_len() const { return max_positions_; }
  // Shape of this model's KV cache with elements of `dtype` (kF32 or kBF16).
  KvLayout kv_layout(DType dtype) const;
  Result<Workspace> make_workspace(int64_t max_tokens, int64_t max_logit_rows) const;

  // Lets the backend measure the products of every step that fits `workspace`, whose contents are
  // lost; see Backend::prepare_gemm.
  void prepare(const Workspace& workspace) const;

  // Writes K and V of the batch's tokens into `storage` (a kv_layout of this model) and returns the
  // final normed states of its logit rows, [num_logit_rows, hidden] in the workspace. Asynchronous.
  ProductInput forward(const RaggedBatchView& batch, const KvStorage& storage,
                       AttentionPolicy& attention, Workspace& workspace) const;

  // logits[i, :] = states[i, :] * head^T, under the soft cap if there is one      logits [n, vocab]
  // f32; states: rows of forward()'s
  void lm_head(TensorView logits, const ProductInput& states) const;

 private:
  // The end of a branch.
  struct Projection {
    const Weight& weight;
    const TensorView& bias;
    const TensorView& post_norm;
  };

  // residual += hidden. Returns what the next branch reads: `hidden` <- the residual normed, or the
  // residual itself where there is no norm.
  ProductInput join(TensorView residual, TensorView hidden, const TensorView& norm) const;
  // The same of branch * to.weight^T.
  ProductInput project_and_join(TensorView branch, const Projection& to, TensorView residual,
                                TensorView hidden, const TensorView& norm) const;
  AttendOptions attend_options(int layer) const;
  // attended <- the attention's output, before its projection.
  void attend(int layer, const ProductInput& input, TensorView attended,
              const RaggedBatchView& batch, const KvStorage& storage, AttentionPolicy& attention,
              const Workspace& workspace) const;
  void norm_queries_and_keys(const LayerWeights& weights, TensorView qkv) const;
  // The MLP's output of `input`, which may be `hidden`, joins the residual as above.
  ProductInput mlp(const LayerWeights& layer, const ProductInput& input, TensorView residual,
                   TensorView hidden, const TensorView& norm, const Workspace& workspace) const;
  // The gated activations of `input`, before they are projected down.
  TensorView gate(const LayerWeights& layer, const ProductInput& input,
                  const Workspace& workspace) const;
  void add_bias(TensorView x, const TensorView& bias) const;
  void post_norm(TensorView hidden, const TensorView& norm) const;

  ModelConfig config_;
  DecoderWeights weights_;
  DType weight_dtype_;
  Backend& backend_;
  int64_t max_positions_ = 0;
  float attention_scale_ = 1;
  // The residual is kept divided by residual_scale, so that nothing else needs it: norms of it do
  // not change, but for their eps.
  float embedding_factor_ = 1;
  float residual_eps_ = 0;
};

}  // namespace sluice
