// Bounds of a model's shape, and where it is read from.
#include "engine/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/text.h"
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

int64_t ModelConfig::num_parameters() const {
  const int64_t hidden = hidden_size;
  const int64_t layer =
      hidden * (qkv_width() + q_width()) + 3 * hidden * intermediate_size + 2 * hidden;
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
  if (!(rope_theta >= 1 && rope_theta <= 1e15)) {
    return invalid_argument(str("rope_theta is ", rope_theta, "; expected 1 to 1e15"),
                            "rope_theta");
  }
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
