// The table of families: architecture string -> how to read its config.json, how its weights are
// named. The end of this file is the place to add one (README.md).
#include "engine/model/families.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "engine/model/json_text.h"
#include "engine/model/model_config.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int kMaxConfigDepth = 16;
constexpr size_t kMaxEosIds = 64;

// Typed access to one JSON object. Remembers the first thing that is wrong; getters go on with
// their default, so that a reader is a plain list of assignments with one check at its end. A null
// counts as absent, as in transformers.
class Fields {
 public:
  Fields(const json& object, std::string file) : object_(object), file_(std::move(file)) {}
  const Status& status() const { return status_; }

  const json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  std::optional<int64_t> integer(const char* key) {
    const json* value = find(key);
    if (value == nullptr) return {};
    if (value->is_number_integer() && !too_large(*value)) return value->get<int64_t>();
    refuse(key, *value, "expected an integer");
    return {};
  }
  // An int, or `fallback` when absent; required when there is no fallback.
  int number(const char* key, std::optional<int> fallback = {}) {
    const std::optional<int64_t> value = integer(key);
    if (!value && fallback) return *fallback;
    if (!value && find(key) == nullptr) refuse(str("has no ", key));
    if (value && (*value < 0 || *value > std::numeric_limits<int>::max()))
      refuse(key, *find(key), "expected an integer from 0 to 2147483647");
    return static_cast<int>(value.value_or(0));
  }
  std::optional<double> real(const char* key) {
    const json* value = find(key);
    if (value == nullptr) return {};
    if (value->is_number() && std::isfinite(value->get<double>())) return value->get<double>();
    refuse(key, *value, "expected a number");
    return {};
  }
  std::optional<bool> boolean(const char* key) {
    const json* value = find(key);
    if (value == nullptr) return {};
    if (value->is_boolean()) return value->get<bool>();
    refuse(key, *value, "expected true or false");
    return {};
  }
  std::optional<std::string> text(const char* key) {
    const json* value = find(key);
    if (value == nullptr) return {};
    if (value->is_string()) return value->get<std::string>();
    refuse(key, *value, "expected a string");
    return {};
  }
  // One id or a list of them.
  std::vector<TokenId> ids(const char* key) {
    const json* value = find(key);
    if (value == nullptr) return {};
    const json list = value->is_array() ? *value : json::array({*value});
    std::vector<TokenId> out;
    for (const json& id : list) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > std::numeric_limits<TokenId>::max() ||
          list.size() > kMaxEosIds) {
        refuse(key, *value, str("expected a token id or a list of at most ", kMaxEosIds));
        return {};
      }
      out.push_back(id.get<TokenId>());
    }
    return out;
  }
  void refuse(const char* key, const json& found, const std::string& expected) {
    refuse(str(key, " is ", shown(found.dump()), "; ", expected));
  }
  void refuse(const std::string& problem) {
    if (status_.ok()) status_ = invalid_argument(str(file_, ": ", problem), file_);
  }

 private:
  static bool too_large(const json& value) {
    return value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX;
  }
  const json& object_;
  std::string file_;
  Status status_;
};

// rope_scaling, or transformers 5's rope_parameters: only the plain kind, whose theta it may hold.
void read_rope(Fields& fields, const std::string& file, ModelConfig& config) {
  config.rope_theta = fields.real("rope_theta").value_or(10000);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const json* value = fields.find(key);
    if (value == nullptr) continue;
    if (!value->is_object()) return fields.refuse(key, *value, "expected an object or null");
    Fields rope(*value, file);
    const std::optional<std::string> type = rope.text("rope_type");
    const std::string kind = type ? *type : rope.text("type").value_or("default");
    if (kind != "default")
      fields.refuse(
          str(key, " of type \"", shown(kind), "\" is not supported; only plain RoPE is"));
    config.rope_theta = rope.real("rope_theta").value_or(config.rope_theta);
    if (!rope.status().ok()) fields.refuse(key, *value, "expected rope_type and rope_theta");
  }
}

// Features that the forward pass does not have must be off.
void refuse_unsupported(Fields& fields) {
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (fields.boolean(key).value_or(false))
      fields.refuse(str(key, " is true; biases are not supported"));
  }
  if (const auto act = fields.text("hidden_act"); act && *act != "silu")
    fields.refuse(str("hidden_act is \"", shown(*act), "\"; only \"silu\" is supported"));
  if (const json* window = fields.find("sliding_window"); window != nullptr)
    fields.refuse("sliding_window", *window, "sliding windows are not supported");
  if (fields.find("quantization_config") != nullptr)
    fields.refuse("has a quantization_config; only float weights are supported");
  if (const auto part = fields.real("partial_rotary_factor"); part && *part != 1)
    fields.refuse(str("partial_rotary_factor is ", *part, "; only 1 is supported"));
}

DType read_dtype(Fields& fields) {
  const char* key = fields.find("dtype") != nullptr ? "dtype" : "torch_dtype";
  const std::string name = fields.text(key).value_or("bfloat16");
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    if (name == name_of(dtype)) return dtype;
  fields.refuse(str(key, " is \"", shown(name), "\"; float32, bfloat16 and float16 are supported"));
  return DType::kBF16;
}

Status read_llama(const json& root, const std::string& file, ModelConfig& config) {
  Fields fields(root, file);
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
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings").value_or(false);
  config.checkpoint_dtype = read_dtype(fields);
  config.bos_id = fields.number("bos_token_id", -1);
  config.eos_ids = fields.ids("eos_token_id");
  read_rope(fields, file, config);
  refuse_unsupported(fields);
  return fields.status();
}

struct Family {
  const char* architecture;  // config.json's architectures[0]
  Status (*read_config)(const json& root, const std::string& file, ModelConfig& config);
  WeightNames names;
};

// Every family there is.
std::vector<Family> families() {
  return {
      {"LlamaForCausalLM", read_llama, {}},
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
  SLUICE_RETURN_IF_ERROR(check_json_object(text, file, kMaxConfigDepth));
  const json root = json::parse(text);
  const auto names = root.find("architectures");
  if (names == root.end() || !names->is_array() || names->empty() || !names->front().is_string()) {
    return invalid_argument(
        str(file, ": has no architectures; supported are: ", supported_architectures()), file);
  }
  ModelConfig config;
  config.architecture = names->front().get<std::string>();
  for (const Family& family : families()) {
    if (config.architecture != family.architecture) continue;
    SLUICE_RETURN_IF_ERROR(family.read_config(root, file, config));
    if (const Status status = config.validate(); !status.ok())
      return invalid_argument(str(file, ": ", status.message()), file);
    return config;
  }
  return invalid_argument(str(file, ": architecture ", shown(config.architecture),
                              " is not supported; supported are: ", supported_architectures()),
                          file);
}

Status parse_generation_config(std::string_view text, const std::string& file,
                               ModelConfig& config) {
  SLUICE_RETURN_IF_ERROR(check_json_object(text, file, kMaxConfigDepth));
  const json root = json::parse(text);
  Fields fields(root, file);
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

}  // namespace sluice
