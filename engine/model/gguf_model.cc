// Metadata to ModelConfig, blocks to weights.
#include "engine/model/gguf_model.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/model/checkpoint.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

// Typed metadata of one architecture; the first problem stays.
class Metadata {
 public:
  Metadata(const GgufHeader& header, const std::string& file) : header_(header), file_(file) {}

  const Status& status() const { return status_; }
  void refuse(const std::string& problem) {
    if (status_.ok()) status_ = invalid_argument(str(file_, ": ", problem), file_);
  }
  // "llama." + key; required unless there is a fallback.
  int integer(const std::string& key, std::optional<int64_t> fallback = {}) {
    const auto value = header_.integer("llama." + key);
    if (!value && !fallback) refuse(str("has no llama.", key));
    const int64_t number = value.value_or(fallback.value_or(0));
    if (number < 0 || number > std::numeric_limits<int>::max()) {
      refuse(str("llama.", key, " is ", number));
      return 0;
    }
    return static_cast<int>(number);
  }
  double number(const std::string& key, double fallback) {
    return header_.number("llama." + key).value_or(fallback);
  }

 private:
  const GgufHeader& header_;
  const std::string& file_;
  Status status_;
};

constexpr const char* kRopeFactors = "rope_freqs.weight";

// Linear scaling, or the number that each pair's frequency is divided by: that is how converters
// write Llama 3's scaling down.
void read_rope(const GgufHeader& header, Metadata& metadata, ModelConfig& config) {
  config.rope.theta = metadata.number("rope.freq_base", 10000);
  const std::string* scaling = header.text("llama.rope.scaling.type");
  if (scaling != nullptr && *scaling == "linear") {
    config.rope.kind = RopeKind::kLinear;
    config.rope.factor = metadata.number("rope.scaling.factor", 1);
  } else if (scaling != nullptr && *scaling != "none") {
    metadata.refuse(str("rope scaling of type \"", shown(*scaling), "\" is not supported"));
  }
  const auto found = header.tensors.find(kRopeFactors);
  if (found == header.tensors.end()) return;
  const GgufTensor& tensor = found->second;
  const std::vector<int64_t> shape = {config.head_dim / 2};
  if (tensor.type != GgmlType::kF32 || tensor.shape != shape) {
    return metadata.refuse(str(kRopeFactors, " has shape ", shape_text(tensor.shape),
                               "; expected F32 of shape ", shape_text(shape)));
  }
  std::vector<float> factors(static_cast<size_t>(shape[0]));
  dequantize(tensor.type, tensor.bytes, factors);
  config.rope.kind = RopeKind::kLongrope;
  config.rope.trained_positions = config.max_position;
  config.rope.factors.assign(factors.begin(), factors.end());
}

void refuse_unsupported(const GgufHeader& header, Metadata& metadata, const ModelConfig& config) {
  if (metadata.integer("expert_count", 0) > 0) {
    metadata.refuse("mixtures of experts are not supported");
  }
  const int rotated = metadata.integer("rope.dimension_count", config.head_dim);
  if (rotated != config.head_dim) {
    metadata.refuse(str("llama.rope.dimension_count is ", rotated, "; only all of a head, ",
                        config.head_dim, ", is supported"));
  }
  for (const auto& [name, tensor] : header.tensors) {
    if (name.ends_with(".bias")) metadata.refuse(str(shown(name), ": biases are not supported"));
  }
}

// What the weights are in the file, as far as a type of ours says it.
DType checkpoint_dtype(const GgufHeader& header) {
  const auto found = header.tensors.find("blk.0.attn_q.weight");
  if (found == header.tensors.end()) return DType::kBF16;
  if (found->second.type == GgmlType::kF32) return DType::kF32;
  return found->second.type == GgmlType::kF16 ? DType::kF16 : DType::kBF16;
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

class GgufSource final : public WeightSource {
 public:
  GgufSource(MappedFile file, GgufHeader header, std::string path, const ModelConfig& config,
             Backend& backend, DType dtype)
      : file_(std::move(file)),
        header_(std::move(header)),
        path_(std::move(path)),
        head_dim_(config.head_dim),
        backend_(backend),
        dtype_(dtype),
        taken_{kRopeFactors} {}

  Result<Weight> matrix(const std::vector<WeightPart>& parts, int64_t cols) override {
    std::vector<TensorView> views;
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<BF16>> halves;
    for (const WeightPart& part : parts) {
      const Result<const GgufTensor*> tensor = take(part.name, {part.rows, cols});
      if (!tensor.ok()) return tensor.status();
      const auto count = static_cast<size_t>(part.rows * cols);
      const auto expand = [&](auto& values, const auto& convert) {
        fill(*tensor.value(), is_rotated(part.name), part.rows, cols, values.data(), convert);
        part.add_views(TensorView::dense(values.data(), dtype_, part.rows, cols), views);
        file_.drop(tensor.value()->bytes);
      };
      if (dtype_ == DType::kF32) {
        expand(floats.emplace_back(count), [](float value) { return value; });
      } else {
        expand(halves.emplace_back(count), [](float value) { return to_bf16(value); });
      }
    }
    return backend_.load_weight(parts.front().name, views, dtype_);
  }

  Status vector(const std::string& name, int64_t size, float* out) override {
    const Result<const GgufTensor*> tensor = take(name, {size});
    if (!tensor.ok()) return tensor.status();
    dequantize(tensor.value()->type, tensor.value()->bytes, {out, static_cast<size_t>(size)});
    return {};
  }

  void warn_about_unused() const override {
    std::string names;
    size_t count = 0;
    for (const auto& [name, tensor] : header_.tensors) {
      if (taken_.contains(name)) continue;
      if (count++ == 0) names = name;
    }
    if (count == 0) return;
    log_warning(str(path_, " has ", count, " tensor(s) that the model does not use, such as ",
                    shown(names)));
  }

 private:
  Result<const GgufTensor*> take(const std::string& name, const std::vector<int64_t>& shape) {
    const auto found = header_.tensors.find(name);
    if (found == header_.tensors.end()) {
      return Status(StatusCode::kNotFound,
                    str(path_, ": has no tensor ", name, " of shape ", shape_text(shape)), path_);
    }
    if (found->second.shape != shape) {
      return invalid_argument(
          str(path_, ": tensor ", name, " has shape ", shape_text(found->second.shape),
              "; the metadata says ", shape_text(shape)),
          path_);
    }
    taken_.insert(name);
    return &found->second;
  }

  static bool is_rotated(const std::string& name) {
    return name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight");
  }

  // Row by row. In the file the two rows of a rotated pair are neighbours (2 i, 2 i + 1); here they
  // are half a head apart (i, i + head_dim / 2).
  template <typename T, typename Convert>
  void fill(const GgufTensor& tensor, bool rotated, int64_t rows, int64_t cols, T* out,
            const Convert& convert) const {
    const GgmlBlock block = block_of(tensor.type);
    const auto row_bytes = static_cast<size_t>(cols / block.values * block.bytes);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t from = 0; from < rows; ++from) {
      dequantize(tensor.type,
                 tensor.bytes.subspan(static_cast<size_t>(from) * row_bytes, row_bytes), row);
      const int64_t in_head = from % head_dim_;
      const int64_t to =
          !rotated ? from : from - in_head + in_head / 2 + in_head % 2 * (head_dim_ / 2);
      std::transform(row.begin(), row.end(), out + to * cols, convert);
    }
  }

  MappedFile file_;
  GgufHeader header_;
  std::string path_;
  int64_t head_dim_;
  Backend& backend_;
  DType dtype_;
  std::set<std::string> taken_;
};

struct OpenFile {
  MappedFile file;
  GgufHeader header;
};

Result<OpenFile> open_file(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  Result<GgufHeader> header = parse_gguf(file->bytes(), path);
  if (!header.ok()) return header.status();
  return OpenFile{std::move(file).value(), std::move(header).value()};
}

}  // namespace

Result<ModelConfig> gguf_model_config(const GgufHeader& header, const std::string& file) {
  const std::string* architecture = header.text("general.architecture");
  if (architecture == nullptr || *architecture != "llama") {
    return invalid_argument(
        str(file, ": architecture ", architecture ? shown(*architecture) : "(none)",
            " is not supported; of GGUF files, llama is"),
        file);
  }
  Metadata metadata(header, file);
  ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = vocab_size(header);
  config.hidden_size = metadata.integer("embedding_length");
  config.intermediate_size = metadata.integer("feed_forward_length");
  config.num_layers = metadata.integer("block_count");
  config.num_heads = metadata.integer("attention.head_count");
  config.num_kv_heads = metadata.integer("attention.head_count_kv", config.num_heads);
  config.head_dim =
      metadata.integer("attention.key_length", config.hidden_size / std::max(config.num_heads, 1));
  config.rms_norm_eps = static_cast<float>(metadata.number("attention.layer_norm_rms_epsilon", 0));
  config.max_position = metadata.integer("context_length");
  read_rope(header, metadata, config);
  config.tie_word_embeddings = !header.tensors.contains("output.weight");
  config.checkpoint_dtype = checkpoint_dtype(header);
  read_special_ids(header, config);
  refuse_unsupported(header, metadata, config);
  SLUICE_RETURN_IF_ERROR(metadata.status());
  if (const Status status = config.validate(); !status.ok()) {
    return invalid_argument(str(file, ": ", status.message()), file);
  }
  return config;
}

Result<ModelConfig> read_gguf_config(const std::string& path) {
  const Result<OpenFile> open = open_file(path);
  if (!open.ok()) return open.status();
  return gguf_model_config(open->header, path);
}

WeightNames gguf_weight_names() {
  return {.embedding = "token_embd.weight",
          .final_norm = "output_norm.weight",
          .lm_head = "output.weight",
          .layer_prefix = "blk.",
          .attention_norm = "attn_norm.weight",
          .q = "attn_q.weight",
          .k = "attn_k.weight",
          .v = "attn_v.weight",
          .o = "attn_output.weight",
          .mlp_norm = "ffn_norm.weight",
          .gate = "ffn_gate.weight",
          .up = "ffn_up.weight",
          .down = "ffn_down.weight"};
}

Result<std::unique_ptr<WeightSource>> open_gguf_weights(const std::string& path,
                                                        const ModelConfig& config, Backend& backend,
                                                        DType dtype) {
  SLUICE_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  Result<OpenFile> open = open_file(path);
  if (!open.ok()) return open.status();
  return std::unique_ptr<WeightSource>(std::make_unique<GgufSource>(
      std::move(open->file), std::move(open->header), path, config, backend, dtype));
}

}  // namespace sluice
