// Sizes, buffers, and the bytes and operations that each op cannot do without.
#include "server/cli/kernel_workloads.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "base/text.h"
#include "engine/runner/batch_upload.h"

namespace sluice {
namespace {

constexpr int64_t kRows[] = {1, 8, 64, 256, 2048};
constexpr int64_t kMaxRows = 2048;
constexpr int64_t kMaxLogitRows = 256;  // what a step samples at a time at most
constexpr int64_t kScratchRows = 128;   // and what it edits at a time
// Of logits, uniform in +-: far enough apart that a nucleus of 0.9 is about one token in a hundred.
constexpr float kLogitScale = 100;

// Copies of a weight or a cache are this large together, five times the largest second-level cache
// of today's GPUs, or kMaxCopies.
constexpr int64_t kColdBytes = int64_t{256} << 20;
constexpr int64_t kMaxCopies = 64;

int64_t copies_of(int64_t bytes) { return std::clamp<int64_t>(kColdBytes / bytes, 1, kMaxCopies); }

std::string rows_text(int64_t rows) { return str(rows, rows == 1 ? " row" : " rows"); }
std::string tokens_text(int tokens) {
  return tokens < 1024 ? str(tokens) : str(tokens / 1024, "k");
}

double bytes_of(int64_t rows, int64_t cols, DType dtype) {
  return static_cast<double>(rows) * static_cast<double>(cols) *
         static_cast<double>(size_of(dtype));
}

// `new_tokens` tokens for each of the sequences, up to their kv_lens, in blocks from `first_block`.
RaggedBatch make_batch(const std::vector<int>& kv_lens, int new_tokens, int64_t first_block) {
  RaggedBatch batch;
  batch.q_indptr = batch.block_indptr = {0};
  auto block = static_cast<BlockId>(first_block);
  for (const int kv_len : kv_lens) {
    batch.token_ids.insert(batch.token_ids.end(), static_cast<size_t>(new_tokens), 0);
    for (int t = 0; t < new_tokens; ++t) batch.positions.push_back(kv_len - new_tokens + t);
    batch.q_indptr.push_back(batch.num_tokens());
    batch.kv_lens.push_back(kv_len);
    for (int i = 0; i < ceil_div(kv_len, kBlockTokens); ++i) batch.blocks.push_back(block++);
    batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));
  }
  return batch;
}

// Batches that differ only in their blocks, as the kernels see them.
struct Batches {
  std::deque<RaggedBatch> host;  // views point into it
  std::vector<BatchUpload> uploads;
  std::vector<RaggedBatchView> views;

  Status add(Backend& backend, RaggedBatch batch) {
    const RaggedBatch& kept = host.emplace_back(std::move(batch));
    Result<BatchUpload> upload = BatchUpload::create(backend, kept.num_tokens(), kept.num_seqs(),
                                                     static_cast<int64_t>(kept.blocks.size()));
    if (!upload.ok()) return upload.status();
    uploads.push_back(std::move(upload).value());
    views.push_back(uploads.back().place(kept));
    return {};
  }
};

// Nothing special is asked of any row.
SamplingBatch plain_sampling(int rows, float temperature, float top_p) {
  const auto count = static_cast<size_t>(rows);
  SamplingBatch batch;
  batch.temperature.assign(count, temperature);
  batch.top_p.assign(count, top_p);
  batch.min_p.assign(count, 0);
  batch.top_k.assign(count, 0);
  batch.repetition_penalty.assign(count, 1);
  batch.presence_penalty.assign(count, 0);
  batch.frequency_penalty.assign(count, 0);
  batch.seed.assign(count, 1);
  batch.draw.assign(count, 0);
  batch.target.assign(count, -1);
  batch.num_top.assign(count, 0);
  batch.pending.assign(count, -1);
  batch.history_indptr.assign(count + 1, 0);
  batch.bias_indptr = batch.allowed_indptr = batch.banned_indptr = batch.history_indptr;
  return batch;
}

// Device copy of host values.
template <typename T>
Result<Buffer> upload(Backend& backend, const std::vector<T>& values) {
  Result<Buffer> buffer = backend.allocate(values.size() * sizeof(T), Memory::kDevice);
  if (!buffer.ok()) return buffer;
  backend.copy(buffer->data(), values.data(), values.size() * sizeof(T));
  backend.synchronize();
  return buffer;
}

}  // namespace

Status KernelWorkloads::run() {
  SLUICE_RETURN_IF_ERROR(gemms());
  SLUICE_RETURN_IF_ERROR(attention());
  SLUICE_RETURN_IF_ERROR(row_ops());
  return sampling();
}

// A weight's memory: however the backend arranges it, the numbers are random.
Result<Buffer> KernelWorkloads::random_rows(int64_t rows, int64_t cols, DType dtype, float scale) {
  Result<Weight> weight = backend_.random_weight("random", rows, cols, dtype, seed_++, scale);
  if (!weight.ok()) return weight.status();
  return std::move(weight.value().storage);
}

Status KernelWorkloads::gemms() {
  const int64_t hidden = model_.hidden_size, intermediate = model_.intermediate_size;
  SLUICE_RETURN_IF_ERROR(gemm("gemm qkv", hidden, model_.qkv_width(), false));
  SLUICE_RETURN_IF_ERROR(gemm("gemm o", model_.q_width(), hidden, false));
  SLUICE_RETURN_IF_ERROR(gemm("gemm gate_up", hidden, 2 * intermediate, false));
  SLUICE_RETURN_IF_ERROR(gemm("gemm down", intermediate, hidden, false));
  return gemm("gemm lm_head", hidden, model_.vocab_size, true);
}

Status KernelWorkloads::gemm(const char* name, int64_t in, int64_t out, bool to_logits) {
  if (!timer_.wants(name)) return {};
  const double weight_bytes = bytes_of(out, in, weights_);
  std::vector<Weight> copies;
  const float scale = 1 / std::sqrt(static_cast<float>(in));
  for (int64_t i = copies_of(static_cast<int64_t>(weight_bytes)); i > 0; --i) {
    Result<Weight> copy = backend_.random_weight(name, out, in, weights_, seed_++, scale);
    if (!copy.ok()) return copy.status();
    copies.push_back(std::move(copy).value());
  }
  const DType result = to_logits ? DType::kF32 : activations_;
  const int64_t most = to_logits ? kMaxLogitRows : kMaxRows;
  const Result<Buffer> x = random_rows(most, in, activations_);
  if (!x.ok()) return x.status();
  const Result<Buffer> y =
      backend_.allocate(static_cast<size_t>(bytes_of(most, out, result)), Memory::kDevice);
  if (!y.ok()) return y.status();
  std::vector<const Weight*> weights;
  for (const Weight& copy : copies) weights.push_back(&copy);
  backend_.prepare_gemm(TensorView::dense(y->data(), result, most, out),
                        TensorView::dense(x->data(), activations_, most, in), weights);
  for (const int64_t rows : kRows) {
    if (rows > most) break;
    const TensorView from = TensorView::dense(x->data(), activations_, rows, in);
    const TensorView to = TensorView::dense(y->data(), result, rows, out);
    const OpWork work{
        .bytes = weight_bytes + bytes_of(rows, in, activations_) + bytes_of(rows, out, result),
        .flops = 2.0 * static_cast<double>(rows * in) * static_cast<double>(out)};
    timer_.time(name, rows_text(rows), work, [&](int64_t i) {
      backend_.gemm(to, from, copies[static_cast<size_t>(i) % copies.size()]);
    });
  }
  return {};
}

// ---- attention ---------------------------------------------------------------------------------

Status KernelWorkloads::attention() {
  constexpr int k1k = 1024;
  const struct {
    int seqs, kv_len;
  } decodes[] = {{64, 4 * k1k}, {16, 8 * k1k}, {1, 32 * k1k}, {1, 128 * k1k}, {64, 32 * k1k}};
  for (const auto& [seqs, kv_len] : decodes) {
    SLUICE_RETURN_IF_ERROR(attend("attend decode", str(seqs, " x ", tokens_text(kv_len)),
                                  std::vector<int>(static_cast<size_t>(seqs), kv_len), 1));
  }
  std::vector<int> skewed(128, k1k);
  skewed.front() = 128 * k1k;
  SLUICE_RETURN_IF_ERROR(attend("attend decode", "128k + 127 x 1k", skewed, 1));
  for (const int length : {2 * k1k, 8 * k1k, 32 * k1k})
    SLUICE_RETURN_IF_ERROR(attend("attend prompt", tokens_text(length), {length}, length));
  return {};
}

KvCacheView KernelWorkloads::cache_view(std::byte* arena) const {
  KvCacheView kv;
  kv.arena = arena;
  kv.num_kv_heads = model_.num_kv_heads;
  kv.head_dim = model_.head_dim;
  kv.dtype = weights_;
  kv.v_offset = static_cast<int64_t>(kv.tile_bytes()) * kv.num_kv_heads;
  kv.block_bytes = 2 * kv.v_offset;
  return kv;
}

Status KernelWorkloads::attend(const std::string& op, const std::string& size,
                               const std::vector<int>& kv_lens, int new_tokens) {
  if (!timer_.wants(op)) return {};
  int64_t blocks = 0;
  for (const int kv_len : kv_lens) blocks += ceil_div(kv_len, kBlockTokens);
  const int64_t cache_bytes = blocks * cache_view(nullptr).block_bytes;
  // A prompt's keys were written just before; what it costs is arithmetic.
  const int64_t copies = new_tokens > 1 ? 1 : copies_of(cache_bytes);
  const int64_t tokens = static_cast<int64_t>(kv_lens.size()) * new_tokens;
  const int64_t width = model_.q_width();
  const int64_t wanted =
      copies * cache_bytes + static_cast<int64_t>(2 * bytes_of(tokens, width, activations_));
  const int64_t free = backend_.info().memory_bytes_free;
  if (free > 0 && wanted > free / 2) {
    timer_.skip(op, size, str("needs ", wanted >> 20, " MiB of memory; ", free >> 20, " are free"));
    return {};
  }
  const int64_t block_elements =
      cache_view(nullptr).block_bytes / static_cast<int64_t>(size_of(weights_));
  const Result<Buffer> arena = random_rows(copies * blocks, block_elements, weights_);
  if (!arena.ok()) return arena.status();
  const Result<Buffer> q = random_rows(tokens, width, activations_);
  if (!q.ok()) return q.status();
  const Result<Buffer> out = random_rows(tokens, width, activations_);
  if (!out.ok()) return out.status();
  Batches batches;
  for (int64_t i = 0; i < copies; ++i)
    SLUICE_RETURN_IF_ERROR(batches.add(backend_, make_batch(kv_lens, new_tokens, i * blocks)));

  double pairs = 0;  // (query, key) that causality leaves
  for (const int32_t position : batches.host.front().positions) pairs += position + 1;
  const OpWork work{
      .bytes = static_cast<double>(cache_bytes) + 2 * bytes_of(tokens, width, activations_),
      .flops = 4 * pairs * static_cast<double>(width)};
  const KvCacheView kv = cache_view(arena->as<std::byte>());
  const AttendOptions options{.scale = 1 / std::sqrt(static_cast<float>(model_.head_dim))};
  timer_.time(op, size, work, [&](int64_t i) {
    backend_.attend(TensorView::dense(out->data(), activations_, tokens, width),
                    TensorView::dense(q->data(), activations_, tokens, width), model_.num_heads,
                    options, batches.views[static_cast<size_t>(i % copies)], kv, nullptr);
  });
  return {};
}

// ---- row by row --------------------------------------------------------------------------------

Status KernelWorkloads::row_ops() {
  SLUICE_RETURN_IF_ERROR(norm());
  SLUICE_RETURN_IF_ERROR(rope());
  SLUICE_RETURN_IF_ERROR(silu());
  return lookups();
}

Status KernelWorkloads::norm() {
  if (!timer_.wants("add_rms_norm")) return {};
  const int64_t hidden = model_.hidden_size;
  const Result<Buffer> residual = random_rows(kMaxRows, hidden, activations_);
  if (!residual.ok()) return residual.status();
  const Result<Buffer> delta = random_rows(kMaxRows, hidden, activations_);
  if (!delta.ok()) return delta.status();
  const Result<Buffer> gain =
      upload(backend_, std::vector<float>(static_cast<size_t>(hidden), 1.0F));
  if (!gain.ok()) return gain.status();
  for (const int64_t rows : kRows) {
    const TensorView x = TensorView::dense(residual->data(), activations_, rows, hidden);
    const TensorView y = TensorView::dense(delta->data(), activations_, rows, hidden);
    const OpWork work{.bytes = 4 * bytes_of(rows, hidden, activations_), .writes = true};
    timer_.time("add_rms_norm", rows_text(rows), work, [&](int64_t) {
      backend_.add_rms_norm(y, x, y, TensorView::dense(gain->data(), DType::kF32, 1, hidden),
                            model_.rms_norm_eps);
    });
  }
  return {};
}

Status KernelWorkloads::silu() {
  if (!timer_.wants("silu_mul")) return {};
  const int64_t width = model_.intermediate_size;
  const Result<Buffer> gate_up = random_rows(kMaxRows, 2 * width, activations_);
  if (!gate_up.ok()) return gate_up.status();
  const Result<Buffer> out = random_rows(kMaxRows, width, activations_);
  if (!out.ok()) return out.status();
  for (const int64_t rows : kRows) {
    const OpWork work{.bytes = 3 * bytes_of(rows, width, activations_), .writes = true};
    timer_.time("silu_mul", rows_text(rows), work, [&](int64_t) {
      backend_.silu_mul(TensorView::dense(out->data(), activations_, rows, width),
                        TensorView::dense(gate_up->data(), activations_, rows, 2 * width));
    });
  }
  return {};
}

Status KernelWorkloads::rope() {
  if (!timer_.wants("rope_append_kv")) return {};
  const int64_t width = model_.qkv_width();
  const int half = model_.head_dim / 2;
  std::vector<float> angles(static_cast<size_t>(kMaxRows * half));
  for (size_t i = 0; i < angles.size(); ++i) angles[i] = static_cast<float>(i % 628) / 100;
  std::vector<float> cosines(angles.size()), sines(angles.size());
  std::transform(angles.begin(), angles.end(), cosines.begin(), [](float a) { return cosf(a); });
  std::transform(angles.begin(), angles.end(), sines.begin(), [](float a) { return sinf(a); });
  const Result<Buffer> cos = upload(backend_, cosines);
  if (!cos.ok()) return cos.status();
  const Result<Buffer> sin = upload(backend_, sines);
  if (!sin.ok()) return sin.status();
  const RopeTable table{cos->as<float>(), sin->as<float>(), kMaxRows, model_.head_dim};

  const int64_t block_bytes = cache_view(nullptr).block_bytes;
  const Result<Buffer> arena = backend_.allocate(
      static_cast<size_t>(kMaxRows / kBlockTokens * block_bytes), Memory::kDevice);
  if (!arena.ok()) return arena.status();
  const Result<Buffer> qkv = random_rows(kMaxRows, width, activations_);
  if (!qkv.ok()) return qkv.status();
  for (const int64_t rows : kRows) {
    Batches batches;
    SLUICE_RETURN_IF_ERROR(batches.add(
        backend_, make_batch({static_cast<int>(rows)}, static_cast<int>(rows), /*first_block=*/0)));
    const OpWork work{.bytes = bytes_of(rows, width + model_.q_width(), activations_) +
                               bytes_of(rows, 2 * model_.kv_width(), weights_),
                      .writes = true};
    timer_.time("rope_append_kv", rows_text(rows), work, [&](int64_t) {
      backend_.rope_append_kv(TensorView::dense(qkv->data(), activations_, rows, width),
                              model_.num_heads, table, batches.views.front(),
                              cache_view(arena->as<std::byte>()));
    });
  }
  return {};
}

// embed and gather_rows: rows far apart.
Status KernelWorkloads::lookups() {
  if (!timer_.wants("embed") && !timer_.wants("gather_rows")) return {};
  const int64_t hidden = model_.hidden_size;
  Result<Weight> table =
      backend_.random_weight("embedding", model_.vocab_size, hidden, weights_, seed_++, 1.0F);
  if (!table.ok()) return table.status();
  const Result<Buffer> x = random_rows(kMaxRows, hidden, activations_);
  if (!x.ok()) return x.status();
  const Result<Buffer> y = random_rows(kMaxRows, hidden, activations_);
  if (!y.ok()) return y.status();
  constexpr int64_t kFarApart = 97;  // coprime to the numbers of rows
  std::vector<int32_t> picked(kMaxRows);
  const int64_t range = std::min<int64_t>(kMaxRows, model_.vocab_size);
  for (int64_t i = 0; i < kMaxRows; ++i)
    picked[static_cast<size_t>(i)] = static_cast<int32_t>(i * kFarApart % range);
  const Result<Buffer> rows_at = upload(backend_, picked);
  if (!rows_at.ok()) return rows_at.status();
  for (const int64_t rows : kRows) {
    const TensorView out = TensorView::dense(y->data(), activations_, rows, hidden);
    const double out_bytes = bytes_of(rows, hidden, activations_);
    if (timer_.wants("embed")) {
      timer_.time("embed", rows_text(rows),
                  {.bytes = bytes_of(rows, hidden, weights_) + out_bytes, .writes = true},
                  [&](int64_t) { backend_.embed(out, table.value(), rows_at->as<TokenId>()); });
    }
    if (!timer_.wants("gather_rows")) continue;
    timer_.time(
        "gather_rows", rows_text(rows), {.bytes = 2 * out_bytes, .writes = true}, [&](int64_t) {
          backend_.gather_rows(out, TensorView::dense(x->data(), activations_, kMaxRows, hidden),
                               rows_at->as<int32_t>());
        });
  }
  return {};
}

// ---- sampling ----------------------------------------------------------------------------------

Status KernelWorkloads::sampling() {
  const int64_t vocab = model_.vocab_size;
  const struct {
    const char* op;
    float temperature, top_p;
  } kinds[] = {{"sample greedy", 0, 1}, {"sample top_p 0.9", 1, 0.9F}};
  for (const auto& [op, temperature, top_p] : kinds) {
    if (!timer_.wants(op)) continue;
    const Result<Buffer> logits = random_rows(kMaxLogitRows, vocab, DType::kF32, kLogitScale);
    if (!logits.ok()) return logits.status();
    const Result<Buffer> room = random_rows(kScratchRows, vocab, DType::kF32);
    if (!room.ok()) return room.status();
    const auto scratch = TensorView::dense(room->data(), DType::kF32, kScratchRows, vocab);
    for (const int64_t rows : kRows) {
      if (rows > kMaxLogitRows) break;
      const SamplingBatch batch = plain_sampling(static_cast<int>(rows), temperature, top_p);
      const Result<Buffer> results = backend_.allocate(SampledTokens::bytes(rows), Memory::kHost);
      if (!results.ok()) return results.status();
      const auto out = SampledTokens::over(results->data(), rows);
      timer_.time(op, rows_text(rows), {.bytes = bytes_of(rows, vocab, DType::kF32)}, [&](int64_t) {
        backend_.sample(out, nullptr, TensorView::dense(logits->data(), DType::kF32, rows, vocab),
                        scratch, batch);
      });
    }
  }
  return {};
}

}  // namespace sluice
