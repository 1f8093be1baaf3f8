// Bounds of a model's shape, and where it is read from.
#include "engine/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "engine/model/config_fields.h"
#include "engine/model/gguf_model.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;

// Larger than any dense decoder that exists, small enough that no product of two overflows int64.
constexpr int kMaxVocab = 1 << 21;
constexpr int kMaxWidth = 1 << 18;  // hidden and intermediate
constexpr int kMaxLayers = 1024;
constexpr int kMaxHeads = 1024;
constexpr int64_t kMaxPositions = 1 << 24;
constexpr float kMinScale = 1e-6F;
constexpr float kMaxScale = 1e6F;
constexpr int kWidthMultiple = 8;  // what vector loads of 16 bytes of bf16 need

Status check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return invalid_argument(str(name, " is ", value, "; expected ", low, " to ", high), name);
}

Status check_width(const char* name, int value) {
  SLUICE_RETURN_IF_ERROR(check_range(name, value, kWidthMultiple, kMaxWidth));
  if (value % kWidthMultiple == 0) return {};
  return invalid_argument(str(name, " is ", value, "; expected a multiple of ", kWidthMultiple),
                          name);
}

}  // namespace

void ModelConfig::limit_positions(int64_t limit, const std::string& reason) {
  if (limit >= max_position) return;
  max_position = limit;
  max_position_reason = reason;
}

int ModelConfig::num_windowed_layers() const {
  int count = 0;
  for (int i = 0; i < num_layers; ++i) count += window_of(i) > 0 ? 1 : 0;
  return count;
}

int ModelConfig::common_window() const { return num_windowed_layers() == num_layers ? window : 0; }

int64_t ModelConfig::num_parameters() const {
  const int64_t hidden = hidden_size;
  const int64_t norms = 2 * ((pre_norms ? 1 : 0) + (post_norms ? 1 : 0)) * hidden;
  int64_t layer = hidden * (qkv_width() + q_width()) + 3 * hidden * intermediate_size + norms;
  if (qkv_bias) layer += qkv_width();
  if (o_bias) layer += hidden;
  if (mlp_bias) layer += int64_t{2} * intermediate_size + hidden;
  if (qk_norm == QkNorm::kPerHead) layer += int64_t{2} * head_dim;
  if (qk_norm == QkNorm::kWhole) layer += q_width() + kv_width();
  return hidden * vocab_size * (tie_word_embeddings ? 1 : 2) + layer * num_layers + hidden;
}

Status ModelConfig::validate() const {
  SLUICE_RETURN_IF_ERROR(check_range("vocab_size", vocab_size, 1, kMaxVocab));
  SLUICE_RETURN_IF_ERROR(check_width("hidden_size", hidden_size));
  SLUICE_RETURN_IF_ERROR(check_width("intermediate_size", intermediate_size));
  SLUICE_RETURN_IF_ERROR(check_range("num_hidden_layers", num_layers, 1, kMaxLayers));
  SLUICE_RETURN_IF_ERROR(check_range("num_attention_heads", num_heads, 1, kMaxHeads));
  SLUICE_RETURN_IF_ERROR(check_range("num_key_value_heads", num_kv_heads, 1, num_heads));
  SLUICE_RETURN_IF_ERROR(check_range("max_position_embeddings", max_position, 1, kMaxPositions));
  SLUICE_RETURN_IF_ERROR(check_range("bos_token_id", bos_id, -1, vocab_size - 1));
  for (const TokenId id : eos_ids)
    SLUICE_RETURN_IF_ERROR(check_range("eos_token_id", id, 0, vocab_size - 1));
  if (num_heads % num_kv_heads != 0) {
    return invalid_argument(str("num_attention_heads is ", num_heads,
                                "; expected a multiple of num_key_value_heads, ", num_kv_heads),
                            "num_attention_heads");
  }
  if (head_dim != 64 && head_dim != 96 && head_dim != 128 && head_dim != 256) {
    return invalid_argument(str("head_dim is ", head_dim, "; supported are 64, 96, 128 and 256"),
                            "head_dim");
  }
  if (!(rms_norm_eps > 0 && rms_norm_eps < 1)) {
    return invalid_argument(str("rms_norm_eps is ", rms_norm_eps, "; expected 0 < eps < 1"),
                            "rms_norm_eps");
  }
  if (rotating() < 2 || rotating() > head_dim || rotating() % 2 != 0) {
    return invalid_argument(
        str("partial_rotary_factor rotates ", rotating(), " of ", head_dim,
            " elements of a head; expected an even number from 2 to ", head_dim),
        "partial_rotary_factor");
  }
  if (!layer_ropes.empty() && layer_ropes.size() != static_cast<size_t>(num_layers)) {
    return invalid_argument(str("no_rope_layers or layer_types has ", layer_ropes.size(),
                                " entries; expected one for each of ", num_layers, " layers"),
                            "layer_types");
  }
  SLUICE_RETURN_IF_ERROR(check_range("sliding_window", window, 0, kMaxPositions));
  if (!windowed_layers.empty() && windowed_layers.size() != static_cast<size_t>(num_layers)) {
    return invalid_argument(str("layer_types has ", windowed_layers.size(),
                                " entries; expected one for each of ", num_layers, " layers"),
                            "layer_types");
  }
  for (const float cap : {attention_soft_cap, logit_soft_cap}) {
    if (cap >= 0 && cap < kMaxScale) continue;
    return invalid_argument(
        str("a soft cap is ", cap, "; expected a positive number below ", kMaxScale));
  }
  for (const auto& [name, scale] : {std::pair("the embedding multiplier", embedding_scale),
                                    std::pair("the residual multiplier", residual_scale),
                                    std::pair("the scaling of logits", logit_scale)}) {
    if (scale > kMinScale && scale < kMaxScale) continue;
    return invalid_argument(str(name, " is ", scale, "; expected ", kMinScale, " to ", kMaxScale));
  }
  if (!(attention_scale >= 0 && attention_scale < kMaxScale)) {
    return invalid_argument(str("the scale of attention is ", attention_scale,
                                "; expected a positive number below ", kMaxScale));
  }
  if (local_rope) SLUICE_RETURN_IF_ERROR(local_rope->validate(rotating()));
  return rope.validate(rotating());
}

Status parse_generation_config(std::string_view text, const std::string& file,
                               ModelConfig& config) {
  Result<ConfigFields> parsed = ConfigFields::parse(text, file);
  if (!parsed.ok()) return parsed.status();
  ConfigFields& fields = parsed.value();
  const auto ranged = [&](const char* key, double low, double high) -> std::optional<float> {
    const std::optional<double> value = fields.real(key);
    if (!value) return {};
    if (*value < low || *value > high)
      fields.refuse(str(key, " is ", *value, "; expected a number from ", low, " to ", high));
    return static_cast<float>(*value);
  };
  constexpr double kLargest = 1e6;
  constexpr double kMaxTopK = 1 << 24;  // exact in a float
  constexpr double kSmallest = 1e-6;
  GenerationDefaults& defaults = config.generation;
  defaults.do_sample = fields.boolean("do_sample");
  defaults.temperature = ranged("temperature", 0, kLargest);
  defaults.top_p = ranged("top_p", kSmallest, 1);
  defaults.min_p = ranged("min_p", 0, 1);
  defaults.repetition_penalty = ranged("repetition_penalty", kSmallest, kLargest);
  if (const auto top_k = ranged("top_k", -1, kMaxTopK))
    defaults.top_k = static_cast<int32_t>(*top_k);
  defaults.max_new_tokens = fields.integer("max_new_tokens");
  if (defaults.max_new_tokens.value_or(1) < 1)
    fields.refuse(str("max_new_tokens is ", *defaults.max_new_tokens, "; expected at least 1"));
  for (const TokenId id : fields.ids("eos_token_id")) config.eos_ids.push_back(id);
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (const Status status = config.validate(); !status.ok())
    return invalid_argument(str(file, ": ", status.message()), file);
  return {};
}

Result<ModelConfig> read_model_config(const std::string& dir_or_file) {
  namespace fs = std::filesystem;
  std::error_code ignored;  // what cannot be looked at is not there; reading says why
  if (is_gguf_file(dir_or_file)) return read_gguf_config(dir_or_file);
  const bool is_dir = fs::is_directory(dir_or_file, ignored);
  const std::string path = is_dir ? (fs::path(dir_or_file) / "config.json").string() : dir_or_file;
  const Result<std::string> text = read_text_file(path, kMaxConfigBytes);
  if (!text.ok()) return text.status();
  Result<ModelConfig> config = parse_model_config(text.value(), path);
  if (!config.ok()) return config;

  const std::string generation = (fs::path(dir_or_file) / "generation_config.json").string();
  if (is_dir && fs::exists(generation, ignored)) {
    const Result<std::string> extra = read_text_file(generation, kMaxConfigBytes);
    if (!extra.ok()) return extra.status();
    SLUICE_RETURN_IF_ERROR(parse_generation_config(extra.value(), generation, config.value()));
  }
  std::vector<TokenId>& eos = config->eos_ids;
  std::sort(eos.begin(), eos.end());
  eos.erase(std::unique(eos.begin(), eos.end()), eos.end());
  return config;
}

}  // namespace sluice
