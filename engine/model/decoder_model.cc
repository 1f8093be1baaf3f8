// The forward pass.
#include "engine/model/decoder_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr int64_t kAlignBytes = 64;  // of each activation, as of a Buffer

}  // namespace

struct Workspace::Part {
  TensorView Workspace::* view;
  int64_t cols;
  int64_t bytes;
};

std::array<Workspace::Part, 6> Workspace::parts(const ModelConfig& config, DType activations,
                                                int64_t max_tokens) {
  const auto part = [&](TensorView Workspace::* view, int64_t cols) {
    const int64_t bytes = max_tokens * cols * static_cast<int64_t>(size_of(activations));
    return Part{view, cols, round_up(bytes, kAlignBytes)};
  };
  return {part(&Workspace::residual_, config.hidden_size),
          part(&Workspace::hidden_, config.hidden_size),
          part(&Workspace::qkv_, config.qkv_width()),
          part(&Workspace::attention_, config.q_width()),
          part(&Workspace::gate_up_, int64_t{2} * config.intermediate_size),
          part(&Workspace::gated_, config.intermediate_size)};
}

int64_t Workspace::bytes(const ModelConfig& config, DType activations, int64_t max_tokens) {
  int64_t total = 0;
  for (const Part& part : parts(config, activations, max_tokens)) total += part.bytes;
  return total;
}

Result<Workspace> Workspace::create(Backend& backend, const ModelConfig& config, DType activations,
                                    int64_t max_tokens) {
  const auto total = static_cast<size_t>(bytes(config, activations, max_tokens));
  Result<Buffer> storage = backend.allocate(total, Memory::kDevice);
  if (!storage.ok()) return storage.status();

  Workspace workspace;
  auto* next = storage->as<std::byte>();
  for (const Part& part : parts(config, activations, max_tokens)) {
    workspace.*part.view = TensorView::dense(next, activations, max_tokens, part.cols);
    next += part.bytes;
  }
  workspace.storage_ = std::move(storage).value();
  return workspace;
}

DecoderModel::DecoderModel(const ModelConfig& config, DecoderWeights weights, DType weight_dtype,
                           Backend& backend)
    : config_(config),
      weights_(std::move(weights)),
      weight_dtype_(weight_dtype),
      backend_(backend) {
  SLUICE_CHECK_EQ(static_cast<int>(weights_.layers.size()), config_.num_layers);
}

KvLayout DecoderModel::kv_layout(DType dtype) const {
  return {.num_layers = config_.num_layers,
          .num_kv_heads = config_.num_kv_heads,
          .head_dim = config_.head_dim,
          .dtype = dtype};
}

Result<Workspace> DecoderModel::make_workspace(int64_t max_tokens) const {
  return Workspace::create(backend_, config_, backend_.activation_dtype(weight_dtype_), max_tokens);
}

int64_t DecoderModel::workspace_bytes(int64_t max_tokens) const {
  return Workspace::bytes(config_, backend_.activation_dtype(weight_dtype_), max_tokens);
}

void DecoderModel::prepare(Workspace& workspace, TensorView logits) const {
  const auto in_every_layer = [&](Weight LayerWeights::* weight) {
    std::vector<const Weight*> all;
    for (const LayerWeights& layer : weights_.layers) all.push_back(&(layer.*weight));
    return all;
  };
  const Workspace& w = workspace;
  backend_.prepare_gemm(w.qkv_, w.hidden_, in_every_layer(&LayerWeights::qkv));
  backend_.prepare_gemm(w.hidden_, w.attention_, in_every_layer(&LayerWeights::o));
  backend_.prepare_gemm(w.gate_up_, w.hidden_, in_every_layer(&LayerWeights::gate_up));
  backend_.prepare_gemm(w.hidden_, w.gated_, in_every_layer(&LayerWeights::down));
  const Weight* head = weights_.lm_head ? &*weights_.lm_head : &weights_.embedding;
  const int64_t rows = std::min(logits.rows, w.hidden_.rows);
  backend_.prepare_gemm(logits.head(rows), w.hidden_.head(rows), {&head, 1});
}

TensorView DecoderModel::forward(const RaggedBatchView& batch, const KvStorage& storage,
                                 AttentionPolicy& attention, Workspace& workspace) const {
  const ModelConfig& c = config_;
  int64_t rows = batch.num_tokens;
  TensorView residual = workspace.residual_.head(rows);
  TensorView hidden = workspace.hidden_.head(rows);  // normed input, then the branch's output
  const TensorView qkv = workspace.qkv_.head(rows);
  const TensorView q = qkv.columns(0, c.q_width());
  TensorView attended = workspace.attention_.head(rows);
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));

  backend_.embed(residual, weights_.embedding, batch.token_ids, batch.sampled);
  for (int i = 0; i < c.num_layers; ++i) {
    const LayerWeights& layer = weights_.layers[i];
    const KvCacheView kv = storage.layer(i);
    if (i == 0) {
      backend_.rms_norm(hidden, residual, layer.attention_norm, c.rms_norm_eps);
    } else {
      backend_.add_rms_norm(hidden, residual, hidden, layer.attention_norm, c.rms_norm_eps);
    }
    backend_.gemm(qkv, hidden, layer.qkv);
    backend_.rope_append_kv(qkv, c.num_heads, weights_.rope, batch, kv);
    backend_.attend(attended, q, c.num_heads, scale, batch, kv, attention.select(i, q, batch, kv));
    if (i == c.num_layers - 1) {
      // Nobody reads the other rows any more. The gathered rows go where qkv and hidden were.
      rows = batch.num_logit_rows;
      const TensorView kept = TensorView::dense(qkv.data, qkv.dtype, rows, c.q_width());
      backend_.gather_rows(kept, attended, batch.logit_rows);
      backend_.gather_rows(hidden.head(rows), residual, batch.logit_rows);
      attended = kept;
      std::swap(residual, hidden);
      residual = residual.head(rows);
      hidden = hidden.head(rows);
    }
    backend_.gemm(hidden, attended, layer.o);
    backend_.add_rms_norm(hidden, residual, hidden, layer.mlp_norm, c.rms_norm_eps);
    const TensorView gate_up = workspace.gate_up_.head(rows);
    const TensorView gated = workspace.gated_.head(rows);
    backend_.gemm_silu_mul(gated, gate_up, hidden, layer.gate_up);
    backend_.gemm(hidden, gated, layer.down);
  }
  backend_.add_rms_norm(hidden, residual, hidden, weights_.final_norm, c.rms_norm_eps);
  return hidden;
}

void DecoderModel::lm_head(TensorView logits, TensorView states) const {
  backend_.gemm(logits, states, weights_.lm_head ? *weights_.lm_head : weights_.embedding);
}

}  // namespace sluice
