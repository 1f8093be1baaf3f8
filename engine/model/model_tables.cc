// Rotary tables, norms and biases, each kind in one buffer.
#include "engine/model/model_tables.h"

#include <cmath>
#include <string>
#include <utility>

#include "engine/model/rope.h"

namespace sluice {
namespace {

// Host memory filled by `fill`, copied to the device.
template <typename Fill>
Result<Buffer> upload_floats(Backend& backend, int64_t count, const Fill& fill) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  Result<Buffer> host = backend.allocate(bytes, Memory::kHost);
  if (!host.ok()) return host.status();
  SLUICE_RETURN_IF_ERROR(fill(host->as<float>()));
  if (backend.info().is_host) return host;
  Result<Buffer> device = backend.allocate(bytes, Memory::kDevice);
  if (!device.ok()) return device.status();
  backend.copy(device->data(), host->data(), bytes);
  backend.synchronize();
  return device;
}

// Pairs past the frequencies' end do not rotate.
Status load_rope(const RopeConfig& rope, int rotary_dim, int head_dim, int64_t positions,
                 Backend& backend, Buffer& storage, RopeTable& table) {
  const int pairs = head_dim / 2;
  const int64_t size = positions * pairs;
  const std::vector<double> frequency = rope_frequencies(rope, rotary_dim);
  Result<Buffer> made = upload_floats(backend, 2 * size, [&](float* cosines) {
    for (int64_t p = 0; p < positions; ++p, cosines += pairs) {
      for (int i = 0; i < pairs; ++i) {
        const bool rotates = i < rotary_dim / 2;
        const double angle = rotates ? static_cast<double>(p) * frequency[i] : 0;
        const double magnitude = rotates ? rope.magnitude : 1;
        cosines[i] = static_cast<float>(magnitude * std::cos(angle));
        cosines[i + size] = static_cast<float>(magnitude * std::sin(angle));
      }
    }
    return Status();
  });
  if (!made.ok()) return made.status();
  storage = std::move(made).value();
  table = {.cos = storage.as<float>(),
           .sin = storage.as<float>() + size,
           .num_positions = positions,
           .head_dim = head_dim};
  return {};
}

struct VectorPart {
  std::string name;
  int64_t size = 0;
};

// One vector of the model: parts of the checkpoint, one after the other.
struct VectorPlan {
  TensorView* view = nullptr;
  std::vector<VectorPart> parts;
  int64_t rotated = 0;  // its first elements are of heads that rotate, see rotary_order
  float addend = 0;     // what is kept is (x + addend) * factor
  float factor = 1;

  int64_t size() const {
    int64_t total = 0;
    for (const VectorPart& part : parts) total += part.size;
    return total;
  }
};

// "x.weight" -> "x.bias"
std::string bias_of(const std::string& weight) {
  return weight.substr(0, weight.rfind('.')) + ".bias";
}

void plan_norms(const ModelConfig& c, const WeightNames& names, int i, LayerWeights& layer,
                std::vector<VectorPlan>& plans) {
  const float addend = c.norms_add_one ? 1 : 0;
  const auto norm = [&](TensorView& view, const std::string& name, int64_t size,
                        int64_t rotated = 0) {
    plans.push_back({&view, {{names.of_layer(i, name), size}}, rotated, addend});
  };
  if (c.pre_norms) {
    norm(layer.attention_norm, names.attention_norm, c.hidden_size);
    norm(layer.mlp_norm, names.mlp_norm, c.hidden_size);
  }
  if (c.post_norms) {
    norm(layer.attention_post_norm, names.attention_post_norm, c.hidden_size);
    norm(layer.mlp_post_norm, names.mlp_post_norm, c.hidden_size);
  }
  if (c.qk_norm == QkNorm::kNone) return;
  const bool whole = c.qk_norm == QkNorm::kWhole;
  const int64_t q_size = whole ? c.q_width() : c.head_dim;
  const int64_t k_size = whole ? c.kv_width() : c.head_dim;
  norm(layer.q_norm, names.q_norm, q_size, q_size);
  norm(layer.k_norm, names.k_norm, k_size, k_size);
}

void plan_biases(const ModelConfig& c, const WeightNames& names, int i, LayerWeights& layer,
                 std::vector<VectorPlan>& plans) {
  const auto part = [&](const std::string& weight, int64_t size) {
    return VectorPart{names.of_layer(i, bias_of(weight)), size};
  };
  if (c.qkv_bias) {
    plans.push_back(
        {&layer.qkv_bias,
         {part(names.q, c.q_width()), part(names.k, c.kv_width()), part(names.v, c.kv_width())},
         c.q_width() + c.kv_width()});
  }
  if (c.o_bias) plans.push_back({&layer.o_bias, {part(names.o, c.hidden_size)}});
  if (!c.mlp_bias) return;
  plans.push_back({&layer.gate_up_bias,
                   {part(names.gate, c.intermediate_size), part(names.up, c.intermediate_size)}});
  plans.push_back({&layer.down_bias, {part(names.down, c.hidden_size)}});
}

Status fill(const VectorPlan& plan, const ModelConfig& config, WeightSource& source, float* out) {
  float* next = out;
  for (const VectorPart& part : plan.parts) {
    SLUICE_RETURN_IF_ERROR(source.vector(part.name, part.size, next));
    next += part.size;
  }
  const std::vector<RowRange> order = rotary_order(config);
  for (int64_t head = 0; head < plan.rotated && !order.empty(); head += config.head_dim) {
    const std::vector<float> old(out + head, out + head + config.head_dim);
    float* to = out + head;
    for (const RowRange& range : order) to = std::copy_n(old.data() + range.first, range.count, to);
  }
  for (float* x = out; x < next; ++x) *x = (*x + plan.addend) * plan.factor;
  return {};
}

}  // namespace

std::vector<RowRange> rotary_order(const ModelConfig& config) {
  const int rotating = config.rotating();
  if (rotating == config.head_dim) return {};
  const int half = rotating / 2, rest = (config.head_dim - rotating) / 2;
  return {{0, half}, {rotating, rest}, {half, half}, {rotating + rest, rest}};
}

Status load_ropes(const ModelConfig& config, int64_t positions, Backend& backend,
                  DecoderWeights& weights) {
  for (int i = 0; i < config.num_layers; ++i) {
    const LayerRope use = config.rope_of(i);
    const auto at = static_cast<size_t>(use);
    if (weights.ropes[at].cos != nullptr) continue;
    RopeConfig rope = config.rope;
    if (use == LayerRope::kLocal) rope = config.local_rope.value();
    if (use == LayerRope::kNone) rope = {.kind = RopeKind::kNone};
    SLUICE_RETURN_IF_ERROR(load_rope(rope, config.rotating(), config.head_dim, positions, backend,
                                     weights.rope_tables[at], weights.ropes[at]));
  }
  return {};
}

Status load_vectors(const ModelConfig& config, const WeightNames& names, WeightSource& source,
                    Backend& backend, DecoderWeights& weights) {
  std::vector<VectorPlan> plans;
  for (int i = 0; i < config.num_layers; ++i) {
    plan_norms(config, names, i, weights.layers[static_cast<size_t>(i)], plans);
    plan_biases(config, names, i, weights.layers[static_cast<size_t>(i)], plans);
  }
  // What the head multiplies by is a factor of the states that it gets.
  plans.push_back({&weights.final_norm,
                   {{names.final_norm, config.hidden_size}},
                   0,
                   config.norms_add_one ? 1.0F : 0.0F,
                   config.logit_scale});
  int64_t total = 0;
  for (const VectorPlan& plan : plans) total += plan.size();
  Result<Buffer> made = upload_floats(backend, total, [&](float* out) {
    for (const VectorPlan& plan : plans) {
      SLUICE_RETURN_IF_ERROR(fill(plan, config, source, out));
      out += plan.size();
    }
    return Status();
  });
  if (!made.ok()) return made.status();
  weights.vectors = std::move(made).value();
  auto* next = weights.vectors.as<float>();
  for (const VectorPlan& plan : plans) {
    *plan.view = TensorView::dense(next, DType::kF32, 1, plan.size());
    next += plan.size();
  }
  return {};
}

}  // namespace sluice
