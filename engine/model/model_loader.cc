// From named tensors, or from a seed, to packed weights.
#include "engine/model/model_loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "engine/model/checkpoint.h"
#include "engine/model/families.h"
#include "engine/model/gguf_model.h"
#include "engine/model/model_tables.h"
#include "engine/model/weight_source.h"

namespace sluice {
namespace {

class DummySource final : public WeightSource {
 public:
  DummySource(Backend& backend, DType dtype, uint64_t seed)
      : backend_(backend), dtype_(dtype), seed_(seed) {}

  // Variance 1 / cols: a normed input gives outputs of variance 1 in every layer, so activations
  // and logits stay finite at any depth.
  Result<Weight> matrix(const std::vector<WeightPart>& parts, int64_t cols) override {
    int64_t rows = 0;
    for (const WeightPart& part : parts) rows += part.rows;
    const float scale = std::sqrt(3.0F / static_cast<float>(cols));
    return backend_.random_weight(parts.front().name, rows, cols, dtype_, seed_++, scale);
  }
  Status vector(const std::string& /*name*/, int64_t size, float* out) override {
    std::fill_n(out, size, 1.0F);
    return {};
  }

 private:
  Backend& backend_;
  DType dtype_;
  uint64_t seed_;  // of the next matrix
};

float element(const std::byte* data, DType dtype, int64_t i) {
  const std::byte* at = data + static_cast<size_t>(i) * size_of(dtype);
  if (dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return dtype == DType::kBF16 ? to_float(BF16{bits}) : half_to_float(bits);
}

class CheckpointSource final : public WeightSource {
 public:
  CheckpointSource(Checkpoint checkpoint, std::string dir, Backend& backend, DType dtype)
      : checkpoint_(std::move(checkpoint)),
        dir_(std::move(dir)),
        backend_(backend),
        dtype_(dtype) {}

  Result<Weight> matrix(const std::vector<WeightPart>& parts, int64_t cols) override {
    std::vector<const Checkpoint::Tensor*> tensors;
    std::vector<TensorView> views;
    std::vector<std::vector<float>> aligned;  // copies of what is not aligned in its file
    for (const WeightPart& part : parts) {
      const Result<const Checkpoint::Tensor*> tensor = take(part.name, {part.rows, cols});
      if (!tensor.ok()) return tensor.status();
      tensors.push_back(tensor.value());
      part.add_views(view(*tensor.value(), part.rows, cols, aligned), views);
    }
    Result<Weight> weight = backend_.load_weight(parts.front().name, views, dtype_);
    for (const Checkpoint::Tensor* tensor : tensors) checkpoint_.drop(*tensor);
    return weight;
  }

  Status vector(const std::string& name, int64_t size, float* out) override {
    const Result<const Checkpoint::Tensor*> tensor = take(name, {size});
    if (!tensor.ok()) return tensor.status();
    const Checkpoint::Tensor& found = *tensor.value();
    for (int64_t i = 0; i < size; ++i) out[i] = element(found.bytes.data(), *found.entry.dtype, i);
    return {};
  }

  void warn_about_unused() const override {
    constexpr size_t kMaxNamed = 3;
    size_t count = 0;
    std::string names;
    for (const auto& [name, tensor] : checkpoint_.tensors()) {
      if (taken_.contains(name)) continue;
      if (count < kMaxNamed) names += (count == 0 ? "" : ", ") + name;
      ++count;
    }
    if (count == 0) return;
    log_warning(str(dir_, " has ", count, " tensor(s) that the model does not use: ", names,
                    count > kMaxNamed ? ", ..." : ""));
  }

 private:
  Result<const Checkpoint::Tensor*> take(const std::string& name,
                                         const std::vector<int64_t>& shape) {
    const Checkpoint::Tensor* tensor = checkpoint_.find(name);
    if (tensor == nullptr) {
      return Status(StatusCode::kNotFound,
                    str(dir_, ": no file has tensor ", name, " of shape ", shape_text(shape)),
                    dir_);
    }
    const std::string& path = checkpoint_.path_of(*tensor);
    if (tensor->entry.shape != shape) {
      return invalid_argument(
          str(path, ": tensor ", name, " has shape ", shape_text(tensor->entry.shape),
              "; config.json says ", shape_text(shape)),
          path);
    }
    if (!tensor->entry.dtype) {
      return invalid_argument(str(path, ": tensor ", name, " is ", tensor->entry.dtype_name,
                                  "; expected F32, BF16 or F16"),
                              path);
    }
    taken_.insert(name);
    return tensor;
  }

  static TensorView view(const Checkpoint::Tensor& tensor, int64_t rows, int64_t cols,
                         std::vector<std::vector<float>>& aligned) {
    const DType dtype = *tensor.entry.dtype;
    const auto address = reinterpret_cast<uintptr_t>(tensor.bytes.data());
    // Views are of mutable memory; load_weight only reads.
    auto* data = const_cast<std::byte*>(tensor.bytes.data());
    if (address % size_of(dtype) == 0) return TensorView::dense(data, dtype, rows, cols);
    std::vector<float>& copy = aligned.emplace_back(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows * cols; ++i)
      copy[static_cast<size_t>(i)] = element(data, dtype, i);
    return TensorView::dense(copy.data(), DType::kF32, rows, cols);
  }

  Checkpoint checkpoint_;
  std::string dir_;  // for messages
  std::set<std::string> taken_;
  Backend& backend_;
  DType dtype_;
};

// `heads` heads of q or k, in the order that makes their pairs the kernels'.
void append_heads(const std::vector<RowRange>& order, int64_t first, int heads, int head_dim,
                  std::vector<RowRange>& out) {
  for (int h = 0; h < heads; ++h) {
    for (const RowRange& range : order)
      out.push_back({first + int64_t{h} * head_dim + range.first, range.count});
  }
}

// The rows of q, k and v, and of gate and up: of a tensor each, or of one for all.
std::vector<WeightPart> qkv_parts(const ModelConfig& c, const WeightNames& names, int layer) {
  const std::vector<RowRange> order = rotary_order(c);
  WeightPart q{names.of_layer(layer, names.q), c.q_width()};
  WeightPart k{names.of_layer(layer, names.k), c.kv_width()};
  if (!c.fused_projections) {
    append_heads(order, 0, c.num_heads, c.head_dim, q.order);
    append_heads(order, 0, c.num_kv_heads, c.head_dim, k.order);
    return {q, k, {names.of_layer(layer, names.v), c.kv_width()}};
  }
  WeightPart all{names.of_layer(layer, names.qkv), c.qkv_width()};
  append_heads(order, 0, c.num_heads + c.num_kv_heads, c.head_dim, all.order);
  if (!order.empty()) all.order.push_back({c.q_width() + c.kv_width(), c.kv_width()});
  return {all};
}

std::vector<WeightPart> gate_up_parts(const ModelConfig& c, const WeightNames& names, int layer) {
  if (c.fused_projections)
    return {{names.of_layer(layer, names.gate_up), int64_t{2} * c.intermediate_size}};
  return {{names.of_layer(layer, names.gate), c.intermediate_size},
          {names.of_layer(layer, names.up), c.intermediate_size}};
}

Status load_matrices(const ModelConfig& config, const WeightNames& names, WeightSource& source,
                     DecoderWeights& weights) {
  const int64_t hidden = config.hidden_size;
  const auto load = [&](Weight& to, const std::vector<WeightPart>& parts, int64_t cols) -> Status {
    Result<Weight> weight = source.matrix(parts, cols);
    if (!weight.ok()) return weight.status();
    to = std::move(weight).value();
    return {};
  };
  SLUICE_RETURN_IF_ERROR(load(weights.embedding, {{names.embedding, config.vocab_size}}, hidden));
  for (int i = 0; i < config.num_layers; ++i) {
    LayerWeights& layer = weights.layers[i];
    const auto part = [&](const std::string& name, int64_t rows) {
      return WeightPart{names.of_layer(i, name), rows};
    };
    SLUICE_RETURN_IF_ERROR(load(layer.qkv, qkv_parts(config, names, i), hidden));
    SLUICE_RETURN_IF_ERROR(load(layer.o, {part(names.o, hidden)}, config.q_width()));
    SLUICE_RETURN_IF_ERROR(load(layer.gate_up, gate_up_parts(config, names, i), hidden));
    SLUICE_RETURN_IF_ERROR(load(layer.down, {part(names.down, hidden)}, config.intermediate_size));
  }
  if (config.tie_word_embeddings) return {};
  return load(weights.lm_head.emplace(), {{names.lm_head, config.vocab_size}}, hidden);
}

Status load_parameters(const ModelConfig& config, const WeightNames& names, WeightSource& source,
                       Backend& backend, DecoderWeights& weights) {
  weights.layers.resize(static_cast<size_t>(config.num_layers));
  SLUICE_RETURN_IF_ERROR(load_matrices(config, names, source, weights));
  return load_vectors(config, names, source, backend, weights);
}

Result<std::unique_ptr<WeightSource>> open_source(const ModelOptions& options,
                                                  const ModelConfig& config, Backend& backend,
                                                  DType dtype) {
  if (options.dummy_weights) {
    return std::unique_ptr<WeightSource>(
        std::make_unique<DummySource>(backend, dtype, options.seed));
  }
  if (is_gguf_file(options.path)) return open_gguf_weights(options.path, config, backend, dtype);
  Result<Checkpoint> checkpoint = Checkpoint::open(options.path);
  if (!checkpoint.ok()) return checkpoint.status();
  return std::unique_ptr<WeightSource>(std::make_unique<CheckpointSource>(
      std::move(checkpoint).value(), options.path, backend, dtype));
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

DType weight_dtype(const ModelOptions& options, const ModelConfig& config) {
  const DType dtype = options.dtype.value_or(config.checkpoint_dtype);
  return dtype == DType::kF16 ? DType::kBF16 : dtype;
}

Result<std::unique_ptr<DecoderModel>> load_decoder_model(const ModelOptions& options,
                                                         const ModelConfig& config,
                                                         Backend& backend) {
  SLUICE_RETURN_IF_ERROR(config.validate());
  if (!backend.supports_head_dim(config.head_dim)) {
    return invalid_argument(str("head_dim is ", config.head_dim, "; the kernels of ",
                                backend.info().name, " are not built for it"),
                            "head_dim");
  }
  const int64_t positions = options.max_model_len > 0 ? options.max_model_len : config.max_position;
  if (positions > config.max_position) {
    return invalid_argument(
        str("max_model_len is ", positions, "; the model has ", config.max_position, " positions",
            config.max_position_reason.empty() ? "" : ": ", config.max_position_reason),
        "max_model_len");
  }
  if (!config.max_position_reason.empty() && positions == config.max_position) {
    log_warning(str("sequences end at ", positions,
                    " tokens, earlier than max_position_embeddings: ", config.max_position_reason));
  }
  const DType dtype = weight_dtype(options, config);
  if (!options.dtype && dtype != config.checkpoint_dtype) {
    log_warning(str("weights are ", name_of(config.checkpoint_dtype), " in the checkpoint and ",
                    name_of(dtype), " here; --dtype float32 keeps them exactly"));
  }
  DecoderWeights weights;
  SLUICE_RETURN_IF_ERROR(load_ropes(config, positions, backend, weights));
  const bool is_gguf = !options.dummy_weights && is_gguf_file(options.path);
  Result<std::unique_ptr<WeightSource>> source = open_source(options, config, backend, dtype);
  if (!source.ok()) return source.status();
  const WeightNames names = is_gguf ? gguf_weight_names() : weight_names(config.architecture);
  SLUICE_RETURN_IF_ERROR(load_parameters(config, names, *source.value(), backend, weights));
  source.value()->warn_about_unused();
  return std::make_unique<DecoderModel>(config, std::move(weights), dtype, backend);
}

}  // namespace sluice
