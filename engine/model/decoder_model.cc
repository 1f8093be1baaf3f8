// The forward pass.
#include "engine/model/decoder_model.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr int64_t kAlignBytes = 64;  // of each activation, as of a Buffer

// Rows that go through an MLP at a time, whose tensors are the widest. Fewer cost speed: with 2,048
// a prompt of 8,192 tokens of an 8B model took 210 ms on an H100, and 205 in one piece.
constexpr int64_t kMlpRows = 8192;
// Rows that sampling edits at a time: enough to fill a GPU.
constexpr int64_t kSampleRows = 128;

struct Part {
  TensorView* view;
  DType dtype;
  int64_t rows, cols;
};

// Lays the parts out from base + offset on; where they end. A null base: only that.
int64_t lay_out(std::initializer_list<Part> parts, std::byte* base, int64_t offset) {
  for (const Part& part : parts) {
    if (base != nullptr)
      *part.view = TensorView::dense(base + offset, part.dtype, part.rows, part.cols);
    const int64_t bytes = part.rows * part.cols * static_cast<int64_t>(size_of(part.dtype));
    offset += round_up(bytes, kAlignBytes);
  }
  return offset;
}

}  // namespace

int64_t Workspace::place(const ModelConfig& c, DType dtype, int64_t max_tokens,
                         int64_t max_logit_rows, std::byte* base) {
  const int64_t mlp_rows = std::min(max_tokens, kMlpRows);
  const int64_t sample_rows = std::min(max_logit_rows, kSampleRows);
  const int64_t common = lay_out({{&residual_, dtype, max_tokens, c.hidden_size},
                                  {&hidden_, dtype, max_tokens, c.hidden_size}},
                                 base, 0);
  const int64_t attention = lay_out(
      {{&qkv_, dtype, max_tokens, c.qkv_width()}, {&attention_, dtype, max_tokens, c.q_width()}},
      base, common);
  const int64_t mlp =
      lay_out({{&gate_up_, dtype, mlp_rows, int64_t{2} * c.intermediate_size}}, base, common);
  if (base != nullptr) gated_ = gate_up_.columns(0, c.intermediate_size);
  const int64_t head = lay_out({{&logits_, DType::kF32, max_logit_rows, c.vocab_size},
                                {&scratch_, DType::kF32, sample_rows, c.vocab_size}},
                               base, common);
  return std::max({attention, mlp, head});
}

Result<Workspace> Workspace::create(Backend& backend, const ModelConfig& config, DType activations,
                                    int64_t max_tokens, int64_t max_logit_rows) {
  Workspace workspace;
  const int64_t bytes = workspace.place(config, activations, max_tokens, max_logit_rows, nullptr);
  Result<Buffer> storage = backend.allocate(static_cast<size_t>(bytes), Memory::kDevice);
  if (!storage.ok()) return storage.status();
  workspace.storage_ = std::move(storage).value();
  workspace.place(config, activations, max_tokens, max_logit_rows,
                  workspace.storage_.as<std::byte>());
  return workspace;
}

DecoderModel::DecoderModel(const ModelConfig& config, DecoderWeights weights, DType weight_dtype,
                           Backend& backend)
    : config_(config),
      weights_(std::move(weights)),
      weight_dtype_(weight_dtype),
      backend_(backend) {
  SLUICE_CHECK_EQ(static_cast<int>(weights_.layers.size()), config_.num_layers);
  for (const RopeTable& rope : weights_.ropes)
    max_positions_ = std::max(max_positions_, rope.num_positions);
  attention_scale_ = config_.attention_scale > 0
                         ? config_.attention_scale
                         : 1.0F / std::sqrt(static_cast<float>(config_.head_dim));
  const float m = config_.residual_scale;
  SLUICE_CHECK(m == 1 || config_.pre_norms);  // else something reads the residual as it is
  embedding_factor_ = config_.embedding_scale / m;
  residual_eps_ = config_.rms_norm_eps / (m * m);
}

KvLayout DecoderModel::kv_layout(DType dtype) const {
  return {.num_layers = config_.num_layers,
          .num_kv_heads = config_.num_kv_heads,
          .head_dim = config_.head_dim,
          .dtype = dtype};
}

Result<Workspace> DecoderModel::make_workspace(int64_t max_tokens, int64_t max_logit_rows) const {
  return Workspace::create(backend_, config_, backend_.activation_dtype(weight_dtype_), max_tokens,
                           max_logit_rows);
}

void DecoderModel::prepare(const Workspace& workspace) const {
  const Workspace& w = workspace;
  const auto in_every_layer = [&](Weight LayerWeights::* weight) {
    std::vector<const Weight*> all;
    for (const LayerWeights& layer : weights_.layers) all.push_back(&(layer.*weight));
    return all;
  };
  const TensorView mlp = w.hidden_.head(w.gate_up_.rows);
  backend_.prepare_gemm(w.qkv_, w.hidden_, in_every_layer(&LayerWeights::qkv));
  backend_.prepare_gemm(w.hidden_, w.attention_, in_every_layer(&LayerWeights::o));
  backend_.prepare_gemm(w.gate_up_, mlp, in_every_layer(&LayerWeights::gate_up));
  backend_.prepare_gemm(mlp, w.gated_, in_every_layer(&LayerWeights::down));
  const Weight* head = weights_.lm_head ? &*weights_.lm_head : &weights_.embedding;
  const int64_t rows = std::min(w.logits_.rows, w.hidden_.rows);
  backend_.prepare_gemm(w.logits_.head(rows), w.hidden_.head(rows), {&head, 1});
}

void DecoderModel::add_bias(TensorView x, const TensorView& bias) const {
  if (bias.data != nullptr) backend_.add(x, bias);
}

void DecoderModel::post_norm(TensorView hidden, const TensorView& norm) const {
  if (norm.data != nullptr) backend_.rms_norm(hidden, hidden, norm, config_.rms_norm_eps);
}

ProductInput DecoderModel::join(TensorView residual, TensorView hidden,
                                const TensorView& norm) const {
  if (norm.data == nullptr) {
    backend_.add(residual, hidden);
    return residual;
  }
  backend_.add_rms_norm(hidden, residual, hidden, norm, residual_eps_);
  return hidden;
}

AttendOptions DecoderModel::attend_options(int layer) const {
  return {.scale = attention_scale_,
          .window = config_.window_of(layer),
          .soft_cap = config_.attention_soft_cap};
}

ProductInput DecoderModel::project_and_join(TensorView branch, const Projection& to,
                                            TensorView residual, TensorView hidden,
                                            const TensorView& norm) const {
  const bool plain = to.bias.data == nullptr && to.post_norm.data == nullptr;
  if (plain && norm.data != nullptr)
    return backend_.gemm_add_rms_norm(hidden, residual, branch, to.weight, norm, residual_eps_);
  backend_.gemm(hidden, branch, to.weight);
  add_bias(hidden, to.bias);
  post_norm(hidden, to.post_norm);
  return join(residual, hidden, norm);
}

void DecoderModel::norm_queries_and_keys(const LayerWeights& weights, TensorView qkv) const {
  const ModelConfig& c = config_;
  const TensorView q = qkv.columns(0, c.q_width());
  const TensorView k = qkv.columns(c.q_width(), c.kv_width());
  if (c.qk_norm == QkNorm::kPerHead) {
    backend_.norm_heads(q, weights.q_norm, c.rms_norm_eps);
    backend_.norm_heads(k, weights.k_norm, c.rms_norm_eps);
  } else if (c.qk_norm == QkNorm::kWhole) {
    backend_.rms_norm(q, q, weights.q_norm, c.rms_norm_eps);
    backend_.rms_norm(k, k, weights.k_norm, c.rms_norm_eps);
  }
}

void DecoderModel::attend(int layer, const ProductInput& input, TensorView attended,
                          const RaggedBatchView& batch, const KvStorage& storage,
                          AttentionPolicy& attention, const Workspace& workspace) const {
  const ModelConfig& c = config_;
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const KvCacheView kv = storage.layer(layer);
  const TensorView qkv = workspace.qkv_.head(batch.num_tokens);
  const TensorView q = qkv.columns(0, c.q_width());
  const RopeTable& rope = weights_.ropes[static_cast<size_t>(c.rope_of(layer))];
  if (weights.qkv_bias.data == nullptr && c.qk_norm == QkNorm::kNone) {
    backend_.gemm_rope_append_kv(qkv, input, weights.qkv, c.num_heads, rope, batch, kv);
  } else {
    backend_.gemm(qkv, input, weights.qkv);
    add_bias(qkv, weights.qkv_bias);
    norm_queries_and_keys(weights, qkv);
    backend_.rope_append_kv(qkv, c.num_heads, rope, batch, kv);
  }
  backend_.attend(attended, q, c.num_heads, attend_options(layer), batch, kv,
                  attention.select(layer, q, batch, kv));
}

ProductInput DecoderModel::forward(const RaggedBatchView& batch, const KvStorage& storage,
                                   AttentionPolicy& attention, Workspace& workspace) const {
  const ModelConfig& c = config_;
  int64_t rows = batch.num_tokens;
  TensorView residual = workspace.residual_.head(rows);
  TensorView hidden = workspace.hidden_.head(rows);  // a branch's input, then its output
  TensorView attended = workspace.attention_.head(rows);

  backend_.embed(residual, weights_.embedding, batch.token_ids, batch.sampled);
  if (embedding_factor_ != 1) backend_.scale(residual, embedding_factor_);
  ProductInput input = c.pre_norms ? hidden : residual;
  if (c.pre_norms)
    backend_.rms_norm(hidden, residual, weights_.layers[0].attention_norm, residual_eps_);
  for (int i = 0; i < c.num_layers; ++i) {
    const LayerWeights& layer = weights_.layers[i];
    const bool is_last = i == c.num_layers - 1;
    attend(i, input, attended, batch, storage, attention, workspace);
    if (is_last && batch.num_logit_rows < batch.num_tokens) {
      // Nobody reads the other rows any more. The gathered rows go where qkv and hidden were.
      rows = batch.num_logit_rows;
      const TensorView& qkv = workspace.qkv_;
      const TensorView kept = TensorView::dense(qkv.data, qkv.dtype, rows, c.q_width());
      backend_.gather_rows(kept, attended, batch.logit_rows);
      backend_.gather_rows(hidden.head(rows), residual, batch.logit_rows);
      attended = kept;
      std::swap(residual, hidden);
      residual = residual.head(rows);
      hidden = hidden.head(rows);
    }
    const Projection o{layer.o, layer.o_bias, layer.attention_post_norm};
    input = project_and_join(attended, o, residual, hidden, layer.mlp_norm);
    const TensorView& next_norm =
        is_last ? weights_.final_norm : weights_.layers[i + 1].attention_norm;
    input = mlp(layer, input, residual, hidden, next_norm, workspace);
  }
  return input;
}

TensorView DecoderModel::gate(const LayerWeights& layer, const ProductInput& input,
                              const Workspace& workspace) const {
  const bool silu = config_.activation == Activation::kSilu;
  const TensorView gate_up = workspace.gate_up_.head(input.values.rows);
  const TensorView gated = workspace.gated_.head(input.values.rows);
  if (silu && !config_.mlp_bias) {
    backend_.gemm_silu_mul(gated, gate_up, input, layer.gate_up);
  } else {
    backend_.gemm(gate_up, input, layer.gate_up);
    add_bias(gate_up, layer.gate_up_bias);
    silu ? backend_.silu_mul(gated, gate_up) : backend_.gelu_mul(gated, gate_up);
  }
  return gated;
}

ProductInput DecoderModel::mlp(const LayerWeights& layer, const ProductInput& input,
                               TensorView residual, TensorView hidden, const TensorView& norm,
                               const Workspace& workspace) const {
  const int64_t most = workspace.gate_up_.rows;
  if (hidden.rows <= most) {
    const Projection down{layer.down, layer.down_bias, layer.mlp_post_norm};
    return project_and_join(gate(layer, input, workspace), down, residual, hidden, norm);
  }
  for (int64_t first = 0; first < hidden.rows; first += most) {
    const TensorView to = hidden.row_range(first, std::min(most, hidden.rows - first));
    backend_.gemm(to, gate(layer, input.row_range(first, to.rows), workspace), layer.down);
    add_bias(to, layer.down_bias);
  }
  post_norm(hidden, layer.mlp_post_norm);
  return join(residual, hidden, norm);
}

void DecoderModel::lm_head(TensorView logits, const ProductInput& states) const {
  backend_.gemm(logits, states, weights_.lm_head ? *weights_.lm_head : weights_.embedding);
  if (config_.logit_soft_cap > 0) backend_.soft_cap(logits, config_.logit_soft_cap);
}

}  // namespace sluice
