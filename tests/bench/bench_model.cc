#include "tests/bench/bench_model.h"

#include <cmath>
#include <cstring>

namespace sluice {

BenchModel::BenchModel(Backend& backend, const ModelShape& shape, int max_seqs, int max_tokens,
                       int max_step)
    : backend_(backend),
      shape_(shape),
      blocks_per_seq_(static_cast<int>(ceil_div(max_tokens, kBlockTokens))),
      ones_(static_cast<size_t>(shape.hidden), 1.0F) {
  const auto weight = [&](int64_t out, int64_t in) {
    const float scale = std::sqrt(3.0F / static_cast<float>(in));
    return backend_.random_weight("w", out, in, DType::kBF16, layers_.size(), scale).value();
  };
  const int attention = shape.q_heads * shape.head_dim;
  const int qkv = attention + 2 * shape.kv_heads * shape.head_dim;
  for (int l = 0; l < shape.layers; ++l) {
    layers_.push_back({weight(qkv, shape.hidden), weight(shape.hidden, attention),
                       weight(2 * shape.intermediate, shape.hidden),
                       weight(shape.hidden, shape.intermediate)});
  }
  head_ = weight(shape.vocab, shape.hidden);
  for (int p = 0; p < max_tokens; ++p) {
    for (int i = 0; i < shape.head_dim / 2; ++i) {
      const float angle =
          static_cast<float>(p) * std::pow(1e4F, -2.0F * static_cast<float>(i) / 64.0F);
      cos_.push_back(std::cos(angle));
      sin_.push_back(std::sin(angle));
    }
  }
  const auto floats = [&](int64_t rows, int64_t cols) {
    Buffer buffer =
        backend_.allocate(static_cast<size_t>(rows * cols) * sizeof(float), Memory::kDevice)
            .value();
    backend_.fill_zero(buffer.data(), buffer.bytes());
    return buffer;
  };
  hidden_ = floats(max_step, shape.hidden);
  normed_ = floats(max_step, shape.hidden);
  qkv_ = floats(max_step, qkv);
  attended_ = floats(max_step, attention);
  gate_up_ = floats(max_step, 2 * shape.intermediate);
  activated_ = floats(max_step, shape.intermediate);
  logits_ = floats(max_seqs, shape.vocab);
  arena_ = backend_
               .allocate(static_cast<size_t>(kv_layer(0).block_bytes) *
                             static_cast<size_t>(max_seqs * blocks_per_seq_),
                         Memory::kDevice)
               .value();
  // Written, not zeroed: pages that nobody wrote would all be read from one zero page in cache.
  std::memset(arena_.data(), 0x3c, arena_.bytes());
}

TensorView BenchModel::rows(Buffer& buffer, int64_t count, int64_t cols) const {
  return TensorView::dense(buffer.data(), DType::kF32, count, cols);
}

KvCacheView BenchModel::kv_layer(int index) const {
  KvCacheView kv;
  kv.arena = arena_.as<std::byte>();
  kv.num_kv_heads = shape_.kv_heads;
  kv.head_dim = shape_.head_dim;
  kv.dtype = DType::kBF16;
  const auto tiles = static_cast<int64_t>(kv.tile_bytes()) * shape_.kv_heads;
  kv.block_bytes = 2 * tiles * shape_.layers;
  kv.k_offset = 2 * tiles * index;
  kv.v_offset = kv.k_offset + tiles;
  return kv;
}

void BenchModel::run_layer(const Layer& layer, int index, const RaggedBatchView& batch) {
  const int64_t n = batch.num_tokens;
  const int attention = shape_.q_heads * shape_.head_dim;
  const TensorView weight = TensorView::dense(ones_.data(), DType::kF32, 1, shape_.hidden);
  const TensorView hidden = rows(hidden_, n, shape_.hidden);
  const TensorView normed = rows(normed_, n, shape_.hidden);
  const TensorView qkv = rows(qkv_, n, layer.qkv.rows);
  const TensorView attended = rows(attended_, n, attention);
  const TensorView gate_up = rows(gate_up_, n, layer.gate_up.rows);
  const TensorView activated = rows(activated_, n, shape_.intermediate);
  const RopeTable rope{cos_.data(), sin_.data(),
                       static_cast<int64_t>(cos_.size()) / (shape_.head_dim / 2), shape_.head_dim};
  const KvCacheView kv = kv_layer(index);
  backend_.add_rms_norm(normed, hidden, normed, weight, 1e-5F);
  backend_.gemm(qkv, normed, layer.qkv);
  backend_.rope_append_kv(qkv, shape_.q_heads, rope, batch, kv);
  backend_.attend(attended, qkv.columns(0, attention), shape_.q_heads, 0.125F, batch, kv, nullptr);
  backend_.gemm(normed, attended, layer.out);
  backend_.add_rms_norm(normed, hidden, normed, weight, 1e-5F);
  backend_.gemm(gate_up, normed, layer.gate_up);
  backend_.silu_mul(activated, gate_up);
  backend_.gemm(normed, activated, layer.down);
}

void BenchModel::step(int seqs, int new_tokens, int kv_len) {
  RaggedBatch batch;
  batch.q_indptr = batch.block_indptr = {0};
  std::vector<int32_t> last_rows;
  for (int s = 0; s < seqs; ++s) {
    for (int t = 0; t < new_tokens; ++t) {
      batch.token_ids.push_back((s * 977 + t * 31 + kv_len) % shape_.vocab);
      batch.positions.push_back(kv_len - new_tokens + t);
    }
    batch.q_indptr.push_back(batch.num_tokens());
    batch.kv_lens.push_back(kv_len);
    for (int b = 0; b < blocks_per_seq_; ++b) batch.blocks.push_back(s * blocks_per_seq_ + b);
    batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));
    last_rows.push_back(batch.num_tokens() - 1);
  }
  const RaggedBatchView view = RaggedBatchView::of(batch);
  const int64_t n = batch.num_tokens();
  const TensorView hidden = rows(hidden_, n, shape_.hidden);
  const TensorView normed = rows(normed_, n, shape_.hidden);
  backend_.embed(hidden, head_, view.token_ids);
  backend_.fill_zero(normed_.data(), static_cast<size_t>(n * shape_.hidden) * sizeof(float));
  for (int l = 0; l < shape_.layers; ++l) run_layer(layers_[l], l, view);
  const TensorView last = rows(qkv_, seqs, shape_.hidden);
  backend_.gather_rows(last, normed, last_rows.data());
  const TensorView logits = rows(logits_, seqs, shape_.vocab);
  backend_.gemm(logits, last, head_);

  SamplingBatch sampling;
  sampling.temperature.assign(seqs, 0);
  sampling.top_p.assign(seqs, 1);
  sampling.min_p.assign(seqs, 0);
  sampling.top_k.assign(seqs, 0);
  sampling.repetition_penalty.assign(seqs, 1);
  sampling.presence_penalty.assign(seqs, 0);
  sampling.frequency_penalty.assign(seqs, 0);
  sampling.seed.assign(seqs, 0);
  sampling.draw.assign(seqs, 0);
  sampling.target.assign(seqs, -1);
  sampling.num_top.assign(seqs, 0);
  sampling.history_indptr.assign(seqs + 1, 0);
  sampling.bias_indptr = sampling.allowed_indptr = sampling.banned_indptr = sampling.history_indptr;
  SampledTokens tokens;
  backend_.sample(tokens, logits, sampling);
  backend_.synchronize();
}

}  // namespace sluice
