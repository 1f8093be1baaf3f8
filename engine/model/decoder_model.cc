// The forward pass.
#include "engine/model/decoder_model.h"

#include <cmath>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr int64_t kAlignBytes = 64;  // of each activation, as of a Buffer

}  // namespace

Result<Workspace> Workspace::create(Backend& backend, const ModelConfig& config, DType activations,
                                    int64_t max_tokens) {
  struct Part {
    TensorView Workspace::* view;
    int64_t cols;
  };
  const Part parts[] = {
      {&Workspace::residual_, config.hidden_size},
      {&Workspace::hidden_, config.hidden_size},
      {&Workspace::qkv_, config.qkv_width()},
      {&Workspace::attention_, config.q_width()},
      {&Workspace::gate_up_, int64_t{2} * config.intermediate_size},
      {&Workspace::gated_, config.intermediate_size},
  };
  const auto bytes_of = [&](const Part& part) {
    const int64_t bytes = max_tokens * part.cols * static_cast<int64_t>(size_of(activations));
    return round_up(bytes, kAlignBytes);
  };
  int64_t total = 0;
  for (const Part& part : parts) total += bytes_of(part);
  Result<Buffer> storage = backend.allocate(static_cast<size_t>(total), Memory::kDevice);
  if (!storage.ok()) return storage.status();

  Workspace workspace;
  auto* next = storage->as<std::byte>();
  for (const Part& part : parts) {
    workspace.*part.view = TensorView::dense(next, activations, max_tokens, part.cols);
    next += bytes_of(part);
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

  backend_.embed(residual, weights_.embedding, batch.token_ids);
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
    backend_.gemm(gate_up, hidden, layer.gate_up);
    backend_.silu_mul(gated, gate_up);
    backend_.gemm(hidden, gated, layer.down);
  }
  backend_.add_rms_norm(hidden, residual, hidden, weights_.final_norm, c.rms_norm_eps);
  return hidden;
}

void DecoderModel::lm_head(TensorView logits, TensorView states) const {
  backend_.gemm(logits, states, weights_.lm_head ? *weights_.lm_head : weights_.embedding);
}

}  // namespace sluice
