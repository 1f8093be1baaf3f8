// The architectures of GGUF files, as data: metadata to ModelConfig. Keys, defaults and the meaning
// of tensors are llama.cpp's, whose converters write these files. The end of this file is the place
// to add one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/text.h"
#include "engine/model/checkpoint.h"
#include "engine/model/gguf_model.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

// Typed metadata of one architecture; the first problem stays.
class Metadata {
 public:
  Metadata(const GgufHeader& header, std::string architecture, const std::string& file)
      : header_(header), prefix_(std::move(architecture) + "."), file_(file) {}

  const GgufHeader& header() const { return header_; }
  const Status& status() const { return status_; }
  void refuse(const std::string& problem) {
    if (status_.ok()) status_ = invalid_argument(str(file_, ": ", problem), file_);
  }
  // ARCHITECTURE.key; required unless there is a fallback.
  int integer(const std::string& key, std::optional<int64_t> fallback = {}) {
    const auto value = header_.integer(prefix_ + key);
    if (!value && !fallback) refuse(str("has no ", prefix_, key));
    const int64_t number = value.value_or(fallback.value_or(0));
    if (number < 0 || number > std::numeric_limits<int>::max()) {
      refuse(str(prefix_, key, " is ", number));
      return 0;
    }
    return static_cast<int>(number);
  }
  float number(const std::string& key, double fallback) {
    return static_cast<float>(header_.number(prefix_ + key).value_or(fallback));
  }
  const std::string* text(const std::string& key) { return header_.text(prefix_ + key); }
  // The floats of an F32 vector; empty where the file has none of that name.
  std::vector<double> floats(const char* name, int64_t size) {
    const auto found = header_.tensors.find(name);
    if (found == header_.tensors.end()) return {};
    const GgufTensor& tensor = found->second;
    const std::vector<int64_t> shape = {size};
    if (tensor.type != GgmlType::kF32 || tensor.shape != shape) {
      refuse(str(name, " has shape ", shape_text(tensor.shape), "; expected F32 of shape ",
                 shape_text(shape)));
      return {};
    }
    std::vector<float> values(static_cast<size_t>(size));
    dequantize(tensor.type, tensor.bytes, values);
    return {values.begin(), values.end()};
  }

 private:
  const GgufHeader& header_;
  std::string prefix_;
  const std::string& file_;
  Status status_;
};

// What Llama 3's frequencies are divided by, and Phi-3's up to their trained length and past it.
constexpr const char* kRopeFactors = "rope_freqs.weight";
constexpr const char* kShortFactors = "rope_factors_short.weight";
constexpr const char* kLongFactors = "rope_factors_long.weight";

void read_yarn(Metadata& metadata, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.kind = RopeKind::kYarn;
  rope.factor = metadata.number("rope.scaling.factor", 1);
  rope.trained_positions =
      metadata.integer("rope.scaling.original_context_length", config.max_position);
  rope.beta_fast = metadata.number("rope.scaling.yarn_beta_fast", 32);
  rope.beta_slow = metadata.number("rope.scaling.yarn_beta_slow", 1);
  rope.magnitude = yarn_magnitude(rope.factor, 1);
  if (metadata.number("rope.scaling.attn_factor", 1) != 1)
    metadata.refuse("rope.scaling.attn_factor is not supported beside yarn");
}

// Frequencies divided by a number each: that is how converters write Llama 3's scaling down, and
// LongRoPE's.
void read_factors(Metadata& metadata, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  std::vector<double> factors = metadata.floats(kRopeFactors, config.rotating() / 2);
  if (factors.empty()) {
    factors = metadata.floats(kShortFactors, config.rotating() / 2);
    if (factors.empty()) return;
    rope.trained_positions =
        metadata.integer("rope.scaling.original_context_length", config.max_position);
    rope.magnitude = metadata.number("rope.scaling.attn_factor", 1);
    config.limit_positions(rope.trained_positions,
                           "longrope has another table past rope.scaling.original_context_length");
  } else {
    rope.trained_positions = config.max_position;
  }
  rope.kind = RopeKind::kLongrope;
  rope.factors = std::move(factors);
}

void read_rope(Metadata& metadata, ModelConfig& config) {
  config.rope.theta = metadata.number("rope.freq_base", 10000);
  config.rotary_dim = metadata.integer("rope.dimension_count", config.head_dim);
  const std::string* scaling = metadata.text("rope.scaling.type");
  if (scaling != nullptr && *scaling == "linear") {
    config.rope.kind = RopeKind::kLinear;
    config.rope.factor = metadata.number("rope.scaling.factor", 1);
  } else if (scaling != nullptr && *scaling == "yarn") {
    read_yarn(metadata, config);
  } else if (scaling != nullptr && *scaling != "none" && *scaling != "longrope") {
    metadata.refuse(str("rope scaling of type \"", shown(*scaling), "\" is not supported"));
  }
  read_factors(metadata, config);
}

// What the weights are in the file, as far as a type of ours says it.
DType checkpoint_dtype(const GgufHeader& header) {
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_qkv.weight"}) {
    const auto found = header.tensors.find(name);
    if (found == header.tensors.end()) continue;
    if (found->second.type == GgmlType::kF32) return DType::kF32;
    return found->second.type == GgmlType::kF16 ? DType::kF16 : DType::kBF16;
  }
  return DType::kBF16;
}

int vocab_size(const GgufHeader& header) {
  const auto found = header.tensors.find("token_embd.weight");
  if (found == header.tensors.end() || found->second.shape.size() != 2) return 0;
  return static_cast<int>(
      std::min<int64_t>(found->second.shape[0], std::numeric_limits<int>::max()));
}

void read_special_ids(const GgufHeader& header, ModelConfig& config) {
  const auto id = [&](const char* name) -> TokenId {
    const auto value = header.integer(str("tokenizer.ggml.", name, "_token_id"));
    return value && *value >= 0 && *value < config.vocab_size ? static_cast<TokenId>(*value) : -1;
  };
  config.bos_id = id("bos");
  for (const char* name : {"eos", "eot", "eom"}) {
    if (id(name) >= 0) config.eos_ids.push_back(id(name));
  }
  std::sort(config.eos_ids.begin(), config.eos_ids.end());
  config.eos_ids.erase(std::unique(config.eos_ids.begin(), config.eos_ids.end()),
                       config.eos_ids.end());
}

// What all architectures call by the same names.
void read_common(Metadata& metadata, ModelConfig& config) {
  const GgufHeader& header = metadata.header();
  config.vocab_size = vocab_size(header);
  config.hidden_size = metadata.integer("embedding_length");
  config.intermediate_size = metadata.integer("feed_forward_length");
  config.num_layers = metadata.integer("block_count");
  config.num_heads = metadata.integer("attention.head_count");
  config.num_kv_heads = metadata.integer("attention.head_count_kv", config.num_heads);
  config.head_dim =
      metadata.integer("attention.key_length", config.hidden_size / std::max(config.num_heads, 1));
  config.rms_norm_eps = metadata.number("attention.layer_norm_rms_epsilon", 0);
  config.max_position = metadata.integer("context_length");
  read_rope(metadata, config);
  config.tie_word_embeddings = !header.tensors.contains("output.weight");
  config.checkpoint_dtype = checkpoint_dtype(header);
  read_special_ids(header, config);
  if (metadata.integer("expert_count", 0) > 0)
    metadata.refuse("mixtures of experts are not supported");
}

// ---- what an architecture adds -----------------------------------------------------------------

void read_llama(Metadata& metadata, ModelConfig& config) {
  if (config.rotary_dim == config.head_dim) return;
  metadata.refuse(str("llama.rope.dimension_count is ", config.rotary_dim, "; only all of a head, ",
                      config.head_dim, ", is supported"));
}

void read_qwen2(Metadata& /*metadata*/, ModelConfig& config) { config.qkv_bias = true; }

void read_qwen3(Metadata& /*metadata*/, ModelConfig& config) { config.qk_norm = QkNorm::kPerHead; }

void read_phi3(Metadata& metadata, ModelConfig& config) {
  config.fused_projections = true;
  config.window = metadata.integer("attention.sliding_window", 0);
}

void read_granite(Metadata& metadata, ModelConfig& config) {
  read_llama(metadata, config);
  config.embedding_scale = metadata.number("embedding_scale", 1);
  config.residual_scale = metadata.number("residual_scale", 1);
  config.attention_scale = metadata.number("attention.scale", 0);
  config.logit_scale = 1 / metadata.number("logit_scale", 1);
}

void read_olmo2(Metadata& /*metadata*/, ModelConfig& config) {
  config.qk_norm = QkNorm::kWhole;
  config.pre_norms = false;
  config.post_norms = true;
}

// Norms have their 1 added. Only the largest model, of `layers` layers, scales attention by its
// width in place of head_dim, and no key says so.
void read_gemma(Metadata& metadata, ModelConfig& config, int layers) {
  config.activation = Activation::kGeluTanh;
  config.post_norms = true;
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.attention_soft_cap = metadata.number("attn_logit_softcapping", 0);
  config.logit_soft_cap = metadata.number("final_logit_softcapping", 0);
  const float width =
      static_cast<float>(config.hidden_size) / static_cast<float>(std::max(config.num_heads, 1));
  if (config.num_layers == layers) config.attention_scale = 1 / std::sqrt(width);
  config.window = metadata.integer("attention.sliding_window", 0);
}

void read_gemma2(Metadata& metadata, ModelConfig& config) {
  constexpr int kLayersOf27B = 46;
  read_gemma(metadata, config, kLayersOf27B);
  for (int i = 0; i < config.num_layers && config.window > 0; ++i)
    config.windowed_layers.push_back(i % 2 == 0);
}

void read_gemma3(Metadata& metadata, ModelConfig& config) {
  constexpr int kLayersOf27B = 62;
  constexpr int kPattern = 6;  // every sixth layer sees everything
  read_gemma(metadata, config, kLayersOf27B);
  config.qk_norm = QkNorm::kPerHead;
  config.local_rope.emplace().theta = metadata.number("rope.freq_base_swa", 10000);
  for (int i = 1; i <= config.num_layers; ++i) {
    const bool windowed = i % kPattern != 0;
    if (config.window > 0) config.windowed_layers.push_back(windowed);
    config.layer_ropes.push_back(windowed ? LayerRope::kLocal : LayerRope::kGlobal);
  }
}

struct GgufFamily {
  const char* name;          // general.architecture
  const char* architecture;  // of families.cc
  bool pairs_are_neighbours;
  bool has_biases;
  void (*read)(Metadata& metadata, ModelConfig& config);
};

// Every architecture there is.
constexpr GgufFamily kFamilies[] = {
    {"llama", "LlamaForCausalLM", true, false, read_llama},
    {"qwen2", "Qwen2ForCausalLM", false, true, read_qwen2},
    {"qwen3", "Qwen3ForCausalLM", false, false, read_qwen3},
    {"phi3", "Phi3ForCausalLM", false, false, read_phi3},
    {"granite", "GraniteForCausalLM", true, false, read_granite},
    {"olmo2", "Olmo2ForCausalLM", false, false, read_olmo2},
    {"gemma2", "Gemma2ForCausalLM", false, false, read_gemma2},
    {"gemma3", "Gemma3ForCausalLM", false, false, read_gemma3},
};

const GgufFamily* family_of(const GgufHeader& header) {
  const std::string* name = header.text("general.architecture");
  for (const GgufFamily& family : kFamilies)
    if (name != nullptr && *name == family.name) return &family;
  return nullptr;
}

std::string family_names() {
  std::string list;
  for (const GgufFamily& family : kFamilies) list += (list.empty() ? "" : ", ") + str(family.name);
  return list;
}

}  // namespace

bool gguf_pairs_are_neighbours(const GgufHeader& header) {
  const GgufFamily* family = family_of(header);
  return family != nullptr && family->pairs_are_neighbours;
}

std::set<std::string> gguf_rope_tensors() { return {kRopeFactors, kShortFactors, kLongFactors}; }

Result<ModelConfig> gguf_model_config(const GgufHeader& header, const std::string& file) {
  const GgufFamily* family = family_of(header);
  if (family == nullptr) {
    const std::string* name = header.text("general.architecture");
    return invalid_argument(str(file, ": architecture ", name ? shown(*name) : "(none)",
                                " is not supported; of GGUF files, these are: ", family_names()),
                            file);
  }
  Metadata metadata(header, family->name, file);
  ModelConfig config;
  config.architecture = family->architecture;
  read_common(metadata, config);
  SLUICE_RETURN_IF_ERROR(metadata.status());
  // Before anything counts layers.
  if (const Status status = config.validate(); !status.ok())
    return invalid_argument(str(file, ": ", status.message()), file);
  family->read(metadata, config);
  for (const auto& [name, tensor] : header.tensors) {
    if (name.ends_with(".bias") && !family->has_biases)
      metadata.refuse(str(shown(name), ": biases are not supported"));
  }
  SLUICE_RETURN_IF_ERROR(metadata.status());
  if (const Status status = config.validate(); !status.ok())
    return invalid_argument(str(file, ": ", status.message()), file);
  return config;
}

}  // namespace sluice
