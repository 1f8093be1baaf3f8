// ModelConfig: the shape of a decoder-only transformer, plain data read from config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

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
  double rope_theta = 10000;
  int64_t max_position = 0;          // tokens the positions were trained for
  bool tie_word_embeddings = false;  // the head is the embedding table
  DType checkpoint_dtype = DType::kBF16;
  TokenId bos_id = -1;           // -1: none
  std::vector<TokenId> eos_ids;  // config.json's and generation_config.json's, ascending
  GenerationDefaults generation;

  int q_width() const { return num_heads * head_dim; }
  int kv_width() const { return num_kv_heads * head_dim; }
  int qkv_width() const { return q_width() + 2 * kv_width(); }
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
