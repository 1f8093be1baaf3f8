// ModelConfig: the shape of a decoder-only transformer, plain data read from config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "engine/model/rope.h"

namespace sluice {

// What generation_config.json recommends where a request says nothing. Absent: nothing recommended.
struct GenerationDefaults {
  std::optional<bool> do_sample;  // false: greedy
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<int64_t> max_new_tokens;
};

// What multiplies the up half of a gated MLP.
enum class Activation { kSilu, kGeluTanh };

// RMS norms of q and k before they are rotated: of each head, with head_dim weights shared by all
// heads, or of all heads at once.
enum class QkNorm { kNone, kPerHead, kWhole };

// Which of a model's rotary tables a layer uses.
enum class LayerRope : uint8_t { kGlobal, kLocal, kNone };

// What differs between families is here, as data; families.cc fills it in.
struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM": a row of families.cc
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  float rms_norm_eps = 1e-6F;
  RopeConfig rope;
  std::optional<RopeConfig> local_rope{};  // of LayerRope::kLocal
  std::vector<LayerRope> layer_ropes{};    // [num_layers]; empty: kGlobal everywhere
  int rotary_dim = 0;                      // elements of a head that rotate, the first; 0: all
  int window = 0;                          // keys that a row of windowed layers sees; 0: none is
  std::vector<bool> windowed_layers{};     // [num_layers]; empty: all, where there is a window
  int64_t max_position = 0;                // tokens that can be served
  std::string max_position_reason{};       // empty, or why fewer than the config claims
  bool tie_word_embeddings = false;        // the head is the embedding table
  DType checkpoint_dtype = DType::kBF16;
  TokenId bos_id = -1;           // -1: none
  std::vector<TokenId> eos_ids;  // config.json's and generation_config.json's, ascending
  GenerationDefaults generation;
  // ---- the graph
  bool fused_projections = false;  // the checkpoint has q, k, v as one tensor, gate and up too
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  bool pre_norms = true;       // of what attention and MLP read
  bool post_norms = false;     // of what they add to the residual
  bool norms_add_one = false;  // norm weights are stored as w - 1
  Activation activation = Activation::kSilu;
  // ---- scalings
  float embedding_scale = 1;  // of the embedding's rows
  float residual_scale = 1;   // of what attention and MLP add to the residual
  float attention_scale = 0;  // of q . k; 0: 1 / sqrt(head_dim)
  float logit_scale = 1;      // of the logits
  // Products of attention, and logits, x become cap * tanh(x / cap); 0: stay as they are.
  float attention_soft_cap = 0;
  float logit_soft_cap = 0;

  int q_width() const { return num_heads * head_dim; }
  int kv_width() const { return num_kv_heads * head_dim; }
  int qkv_width() const { return q_width() + 2 * kv_width(); }
  int rotating() const { return rotary_dim > 0 ? rotary_dim : head_dim; }
  LayerRope rope_of(int layer) const {
    return layer_ropes.empty() ? LayerRope::kGlobal : layer_ropes[static_cast<size_t>(layer)];
  }
  // Keys that a row of `layer` sees, its own among them; 0: all before it.
  int window_of(int layer) const {
    return windowed_layers.empty() || windowed_layers[static_cast<size_t>(layer)] ? window : 0;
  }
  int num_windowed_layers() const;
  // The window that all layers share, so that keys before it are never read again; 0: there is
  // none.
  int common_window() const;
  // Lowers max_position to `limit`; `reason` says what stops there.
  void limit_positions(int64_t limit, const std::string& reason);
  // Elements of all parameters; a tied head counts once.
  int64_t num_parameters() const;
  // Bounds of every field, what the kernels can do (head_dim), and their relations.
  Status validate() const;
};

// Reads a GGUF file's metadata; or DIR/config.json and, if there is one,
// DIR/generation_config.json; or one JSON file that is a config.json by another name
// (configs/shapes). The result is validated. Refuses, in words, an architecture that families.cc
// does not list and every feature that the forward pass does not have.
Result<ModelConfig> read_model_config(const std::string& dir_or_file);

// The same from text; `file` names it in messages. For read_model_config, tests and fuzzing.
Result<ModelConfig> parse_model_config(std::string_view json, const std::string& file);
// Adds what generation_config.json says: eos ids and defaults.
Status parse_generation_config(std::string_view json, const std::string& file, ModelConfig& config);

}  // namespace sluice
