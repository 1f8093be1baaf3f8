// The table of families: architecture string -> how to read its config.json, how its weights are
// named. The end of this file is the place to add one (README.md).
#include "engine/model/families.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "engine/model/config_fields.h"
#include "engine/model/json_text.h"
#include "engine/model/model_config.h"
#include "engine/model/rope_fields.h"

namespace sluice {
namespace {

// Features that the forward pass does not have must be off.
void refuse_unsupported(ConfigFields& fields) {
  if (fields.has("quantization_config"))
    fields.refuse("has a quantization_config; only float weights are supported");
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts"}) {
    if (fields.has(key)) fields.refuse(key, "mixtures of experts are not supported");
  }
}

DType read_dtype(ConfigFields& fields) {
  const char* key = fields.has("dtype") ? "dtype" : "torch_dtype";
  const std::string name = fields.text(key).value_or("bfloat16");
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    if (name == name_of(dtype)) return dtype;
  fields.refuse(str(key, " is \"", shown(name), "\"; float32, bfloat16 and float16 are supported"));
  return DType::kBF16;
}

// The activation under the name that every family uses, or `expected` where it says nothing.
void expect_activation(ConfigFields& fields, const char* key, const std::string& expected) {
  const auto act = fields.text(key);
  if (act && *act != expected)
    fields.refuse(str(key, " is \"", shown(*act), "\"; only \"", expected, "\" is supported"));
}

// The window and the layers that have it: as layer_types says, else those of which `is_windowed` is
// true.
template <typename IsWindowed>
void read_window(ConfigFields& fields, ModelConfig& config, IsWindowed&& is_windowed) {
  if (!fields.has("sliding_window")) return;
  config.window = fields.number("sliding_window");
  if (config.window < 1) return fields.refuse("sliding_window", "expected at least 1");
  for (const std::string& type : fields.texts("layer_types"))
    config.windowed_layers.push_back(type == "sliding_attention");
  if (!fields.has("layer_types")) {
    const int layers = std::min<int>(config.num_layers, ConfigFields::kMaxList);
    for (int i = 0; i < layers; ++i) config.windowed_layers.push_back(is_windowed(i));
  }
  const auto& layers = config.windowed_layers;
  if (std::find(layers.begin(), layers.end(), true) == layers.end()) config.window = 0;
}

bool every_layer(int /*layer*/) { return true; }

// Qwen's: the window is off unless use_sliding_window, and then of the layers from the
// max_window_layers-th on.
void read_upper_window(ConfigFields& fields, ModelConfig& config) {
  if (!fields.boolean("use_sliding_window").value_or(false)) return;
  const int first = fields.number("max_window_layers", 28);
  read_window(fields, config, [first](int layer) { return layer >= first; });
}

// What all families call by the same names.
void read_common(ConfigFields& fields, ModelConfig& config, bool tied_by_default = false) {
  config.vocab_size = fields.number("vocab_size");
  config.hidden_size = fields.number("hidden_size");
  config.intermediate_size = fields.number("intermediate_size");
  config.num_layers = fields.number("num_hidden_layers");
  config.num_heads = fields.number("num_attention_heads");
  config.num_kv_heads = fields.number("num_key_value_heads", config.num_heads);
  const int heads = config.num_heads > 0 ? config.num_heads : 1;
  config.head_dim = fields.number("head_dim", config.hidden_size / heads);
  config.rms_norm_eps = static_cast<float>(fields.real("rms_norm_eps").value_or(1e-6));
  config.max_position = fields.number("max_position_embeddings");
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings").value_or(tied_by_default);
  config.checkpoint_dtype = read_dtype(fields);
  config.bos_id = fields.number("bos_token_id", -1);
  config.eos_ids = fields.ids("eos_token_id");
  config.qkv_bias = config.o_bias = fields.boolean("attention_bias").value_or(false);
  config.mlp_bias = fields.boolean("mlp_bias").value_or(false);
  read_ropes(fields, config);
  refuse_unsupported(fields);
}

// A sliding_window of Llama's own is ignored, as by transformers.
void read_llama(ConfigFields& fields, ModelConfig& config) {
  read_common(fields, config);
  expect_activation(fields, "hidden_act", "silu");
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (fields.has(key)) fields.refuse(key, "soft caps are Gemma's, and not supported here");
  }
}

void read_mistral(ConfigFields& fields, ModelConfig& config) {
  read_llama(fields, config);
  read_window(fields, config, every_layer);
}

void read_qwen2(ConfigFields& fields, ModelConfig& config) {
  read_llama(fields, config);
  read_upper_window(fields, config);
  config.qkv_bias = true;
  config.o_bias = false;
}

void read_qwen3(ConfigFields& fields, ModelConfig& config) {
  read_llama(fields, config);
  read_upper_window(fields, config);
  config.qk_norm = QkNorm::kPerHead;
}

void read_smollm3(ConfigFields& fields, ModelConfig& config) {
  read_common(fields, config, /*tied_by_default=*/true);
  expect_activation(fields, "hidden_act", "silu");
  // 1: the layer rotates. Absent: every fourth does not.
  for (const int64_t rotates : fields.integers("no_rope_layers"))
    config.layer_ropes.push_back(rotates != 0 ? LayerRope::kGlobal : LayerRope::kNone);
  if (!fields.has("no_rope_layers")) {
    const int interval = std::max(fields.number("no_rope_layer_interval", 4), 1);
    const int layers = std::min<int>(config.num_layers, ConfigFields::kMaxList);
    for (int i = 1; i <= layers; ++i)
      config.layer_ropes.push_back(i % interval != 0 ? LayerRope::kGlobal : LayerRope::kNone);
  }
  if (!fields.boolean("use_sliding_window").value_or(false)) return;
  const std::vector<LayerRope>& ropes = config.layer_ropes;
  read_window(fields, config, [&ropes](int layer) {
    return static_cast<size_t>(layer) < ropes.size() &&
           ropes[static_cast<size_t>(layer)] == LayerRope::kNone;
  });
}

void read_phi3(ConfigFields& fields, ModelConfig& config) {
  read_mistral(fields, config);
  config.qkv_bias = config.o_bias = config.mlp_bias = false;  // what it has no layers for
  config.fused_projections = true;
}

void read_olmo2(ConfigFields& fields, ModelConfig& config) {
  read_llama(fields, config);
  config.qk_norm = QkNorm::kWhole;
  config.pre_norms = false;
  config.post_norms = true;
}

// A divisor's reciprocal; refuses what is not positive.
float reciprocal(ConfigFields& fields, const char* key, double divisor) {
  if (divisor > 0) return static_cast<float>(1 / divisor);
  fields.refuse(key, "expected a positive number");
  return 1;
}

void read_granite(ConfigFields& fields, ModelConfig& config) {
  read_llama(fields, config);
  config.embedding_scale = static_cast<float>(fields.real("embedding_multiplier").value_or(1));
  config.residual_scale = static_cast<float>(fields.real("residual_multiplier").value_or(1));
  config.attention_scale = static_cast<float>(fields.real("attention_multiplier").value_or(1));
  if (const auto scaling = fields.real("logits_scaling"))
    config.logit_scale = reciprocal(fields, "logits_scaling", *scaling);
}

// arXiv:2404.06395: depth and width scalings of muP.
void read_minicpm(ConfigFields& fields, ModelConfig& config) {
  read_llama(fields, config);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings").value_or(true);
  config.embedding_scale = static_cast<float>(fields.real("scale_emb").value_or(1));
  if (const auto depth = fields.real("scale_depth"))
    config.residual_scale = static_cast<float>(*depth / std::sqrt(std::max(config.num_layers, 1)));
  if (const auto base = fields.real("dim_model_base"))
    config.logit_scale = reciprocal(fields, "dim_model_base", config.hidden_size / *base);
}

float read_soft_cap(ConfigFields& fields, const char* key) {
  const std::optional<double> cap = fields.real(key);
  if (cap && !(*cap > 0)) fields.refuse(key, "expected a positive number");
  return static_cast<float>(cap.value_or(0));
}

void read_gemma(ConfigFields& fields, ModelConfig& config) {
  read_common(fields, config, /*tied_by_default=*/true);
  expect_activation(fields, "hidden_activation", "gelu_pytorch_tanh");
  config.activation = Activation::kGeluTanh;
  config.post_norms = true;
  config.norms_add_one = true;
  // In the checkpoint's own precision, as the model was trained.
  const float root = std::sqrt(static_cast<float>(config.hidden_size));
  config.embedding_scale = config.checkpoint_dtype == DType::kBF16 ? to_float(to_bf16(root)) : root;
  const double scalar = fields.real("query_pre_attn_scalar").value_or(256);
  config.attention_scale = std::sqrt(reciprocal(fields, "query_pre_attn_scalar", scalar));
  config.attention_soft_cap = read_soft_cap(fields, "attn_logit_softcapping");
  config.logit_soft_cap = read_soft_cap(fields, "final_logit_softcapping");
}

// Every other layer has a window, the first one too.
void read_gemma2(ConfigFields& fields, ModelConfig& config) {
  read_gemma(fields, config);
  read_window(fields, config, [](int layer) { return layer % 2 == 0; });
}

// All layers but every sixth have a window and a rotary table of their own.
void read_gemma3(ConfigFields& fields, ModelConfig& config) {
  read_gemma(fields, config);
  config.qk_norm = QkNorm::kPerHead;
  if (!config.local_rope) config.local_rope.emplace();
  const int pattern = std::max(fields.number("sliding_window_pattern", 6), 1);
  read_window(fields, config, [pattern](int layer) { return (layer + 1) % pattern != 0; });
  for (const bool windowed : config.windowed_layers)
    config.layer_ropes.push_back(windowed ? LayerRope::kLocal : LayerRope::kGlobal);
}

struct Family {
  const char* architecture;  // config.json's architectures[0]
  void (*read_config)(ConfigFields& fields, ModelConfig& config);
  WeightNames names;
};

// Every family there is.
std::vector<Family> families() {
  return {
      {"LlamaForCausalLM", read_llama, {}},
      {"MistralForCausalLM", read_mistral, {}},
      {"Qwen2ForCausalLM", read_qwen2, {}},
      {"Qwen3ForCausalLM", read_qwen3, {}},
      {"SmolLM3ForCausalLM", read_smollm3, {}},
      {"Phi3ForCausalLM", read_phi3, {}},
      {"Olmo2ForCausalLM", read_olmo2, {}},
      {"GraniteForCausalLM", read_granite, {}},
      {"MiniCPMForCausalLM", read_minicpm, {}},
      {"Gemma2ForCausalLM", read_gemma2, {.mlp_norm = "pre_feedforward_layernorm.weight"}},
      {"Gemma3ForCausalLM", read_gemma3, {.mlp_norm = "pre_feedforward_layernorm.weight"}},
  };
}

std::string supported_architectures() {
  std::string list;
  for (const Family& family : families())
    list += (list.empty() ? "" : ", ") + std::string(family.architecture);
  return list;
}

}  // namespace

WeightNames weight_names(const std::string& architecture) {
  for (const Family& family : families())
    if (architecture == family.architecture) return family.names;
  fail_check(__FILE__, __LINE__, str("no family ", architecture));
}

Result<ModelConfig> parse_model_config(std::string_view text, const std::string& file) {
  Result<ConfigFields> fields = ConfigFields::parse(text, file);
  if (!fields.ok()) return fields.status();
  const std::vector<std::string> names = fields->texts("architectures");
  if (names.empty()) {
    return invalid_argument(
        str(file, ": has no architectures; supported are: ", supported_architectures()), file);
  }
  ModelConfig config;
  config.architecture = names.front();
  for (const Family& family : families()) {
    if (config.architecture != family.architecture) continue;
    family.read_config(fields.value(), config);
    SLUICE_RETURN_IF_ERROR(fields->status());
    if (const Status status = config.validate(); !status.ok())
      return invalid_argument(str(file, ": ", status.message()), file);
    return config;
  }
  return invalid_argument(str(file, ": architecture ", shown(config.architecture),
                              " is not supported; supported are: ", supported_architectures()),
                          file);
}

}  // namespace sluice
