// Each op on both backends, in turn; then what it wrote is compared and made equal.
#include "kernels/checked_backend.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/text.h"

namespace sluice {

// One buffer of the subject and its shadow.
struct CheckedBackend::Shadow {
  Buffer subject, reference;
};

struct CheckedBackend::Shadows {
  std::map<const std::byte*, Shadow> buffers;  // by the subject's first byte
  std::map<const void*, std::pair<Weight, Weight>>
      weights;  // subject's and reference's, by storage
};

CheckedBackend::CheckedBackend(std::unique_ptr<Backend> subject, std::unique_ptr<Backend> reference,
                               CheckTolerance tolerance)
    : tolerance_(tolerance),
      subject_(std::move(subject)),
      reference_(std::move(reference)),
      shadows_(std::make_shared<Shadows>()) {}

CheckedBackend::~CheckedBackend() = default;

BackendInfo CheckedBackend::info() const {
  BackendInfo info = subject_->info();
  info.name += str(", checked against ", reference_->info().name);
  return info;
}
DType CheckedBackend::activation_dtype(DType weights) const {
  return subject_->activation_dtype(weights);
}
Result<Ceilings> CheckedBackend::measure_ceilings() { return subject_->measure_ceilings(); }
bool CheckedBackend::supports_head_dim(int head_dim) const {
  return subject_->supports_head_dim(head_dim) && reference_->supports_head_dim(head_dim);
}
bool CheckedBackend::batch_invariant() const { return subject_->batch_invariant(); }

void CheckedBackend::synchronize() {
  subject_->synchronize();
  reference_->synchronize();
}

// ---- memory: each buffer and weight in two copies, released together

Result<Buffer> CheckedBackend::allocate(size_t bytes, Memory where) {
  if (where == Memory::kHost) return subject_->allocate(bytes, where);
  Result<Buffer> subject = subject_->allocate(bytes, where);
  if (!subject.ok()) return subject;
  Result<Buffer> reference = reference_->allocate(bytes, where);
  if (!reference.ok()) return reference;
  void* data = subject->data();
  shadows_->buffers[static_cast<std::byte*>(data)] = {std::move(subject).value(),
                                                      std::move(reference).value()};
  return Buffer(data, bytes, [shadows = shadows_](void* p) {
    shadows->buffers.erase(static_cast<std::byte*>(p));
  });
}

Status CheckedBackend::prepare(const StepLimits& limits) {
  SLUICE_RETURN_IF_ERROR(subject_->prepare(limits));
  return reference_->prepare(limits);
}

const void* CheckedBackend::shadow_of(const void* p) const {
  const auto* byte = static_cast<const std::byte*>(p);
  auto after = shadows_->buffers.upper_bound(byte);
  if (after == shadows_->buffers.begin()) return p;
  const auto& [first, pair] = *--after;
  const auto offset = static_cast<size_t>(byte - first);
  return offset < pair.subject.bytes() ? pair.reference.as<std::byte>() + offset : p;
}

TensorView CheckedBackend::shadow(TensorView x) const {
  x.data = shadow(x.data);
  return x;
}

RaggedBatchView CheckedBackend::shadow(const RaggedBatchView& batch) const {
  RaggedBatchView to = batch;
  to.token_ids = shadow(batch.token_ids);
  to.sampled = shadow(batch.sampled);
  to.positions = shadow(batch.positions);
  to.q_indptr = shadow(batch.q_indptr);
  to.kv_lens = shadow(batch.kv_lens);
  to.block_indptr = shadow(batch.block_indptr);
  to.blocks = shadow(batch.blocks);
  return to;
}

RopeTable CheckedBackend::shadow(const RopeTable& rope) const {
  RopeTable to = rope;
  to.cos = shadow(rope.cos);
  to.sin = shadow(rope.sin);
  return to;
}

KvCacheView CheckedBackend::shadow(const KvCacheView& kv) const {
  KvCacheView to = kv;
  to.arena = shadow(kv.arena);
  SLUICE_CHECK(to.arena != kv.arena);  // the two arrangements must not share an arena
  return to;
}

const Weight& CheckedBackend::shadow(const Weight& weight) const {
  return shadows_->weights.at(weight.storage.data()).second;
}

Result<Weight> CheckedBackend::pair(Result<Weight> subject, Result<Weight> reference) {
  if (!subject.ok()) return subject;
  if (!reference.ok()) return reference;
  const Weight& held = subject.value();
  void* data = held.storage.data();
  Weight handle{held.name, held.dtype, held.rows, held.cols,
                Buffer(data, held.storage.bytes(),
                       [shadows = shadows_](void* p) { shadows->weights.erase(p); })};
  shadows_->weights[data] = {std::move(subject).value(), std::move(reference).value()};
  return handle;
}

Result<Weight> CheckedBackend::do_load_weight(std::string name, std::span<const TensorView> parts,
                                              DType dtype) {
  return pair(subject_->load_weight(name, parts, dtype),
              reference_->load_weight(name, parts, dtype));
}

Result<Weight> CheckedBackend::do_random_weight(std::string name, int64_t rows, int64_t cols,
                                                DType dtype, uint64_t seed, float scale) {
  return pair(subject_->random_weight(name, rows, cols, dtype, seed, scale),
              reference_->random_weight(name, rows, cols, dtype, seed, scale));
}

// ---- transfers: to both copies

void CheckedBackend::copy(void* to, const void* from, size_t bytes) {
  subject_->copy(to, from, bytes);
  if (shadow(to) != to) reference_->copy(shadow(to), shadow(from), bytes);
}

void CheckedBackend::upload(void* to, const void* from, size_t bytes) {
  subject_->upload(to, from, bytes);
  if (shadow(to) != to) reference_->upload(shadow(to), from, bytes);
}

// The reference has finished each op by then: compare() waits for it.
Fence CheckedBackend::fence() { return subject_->fence(); }
void CheckedBackend::wait(Fence fence) { subject_->wait(fence); }

void CheckedBackend::fill_zero(void* to, size_t bytes) {
  subject_->fill_zero(to, bytes);
  if (shadow(to) != to) reference_->fill_zero(shadow(to), bytes);
}

// ---- ops: on both, then compared

namespace {

// The view's rows with what lies between them, as they are in memory.
std::vector<std::byte> read(Backend& backend, const TensorView& x) {
  const int64_t elements = (x.rows - 1) * x.row_stride + x.cols;
  std::vector<std::byte> bytes(static_cast<size_t>(elements) * size_of(x.dtype));
  backend.copy(bytes.data(), x.data, bytes.size());
  backend.synchronize();
  return bytes;
}

void to_floats(const std::byte* from, DType dtype, std::vector<float>& row) {
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = dtype == DType::kF32 ? reinterpret_cast<const float*>(from)[i]
                                  : to_float(reinterpret_cast<const BF16*>(from)[i]);
  }
}

float root_mean_square(const std::vector<float>& row) {
  double sum = 0;
  for (const float x : row) sum += double{x} * x;
  return static_cast<float>(std::sqrt(sum / static_cast<double>(row.size())));
}

// The element that differs most, in tolerances.
struct Difference {
  float share = 0;
  int64_t row = 0;
  size_t col = 0;
  float got = 0, want = 0;
};

void compare_row(const std::vector<float>& got, const std::vector<float>& want, int64_t row,
                 CheckTolerance tolerance, Difference& worst) {
  const float of_row = tolerance.of_row * root_mean_square(want);
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]))) continue;
    const float size = std::max(std::fabs(got[i]), std::fabs(want[i]));
    const float share = std::fabs(got[i] - want[i]) / (tolerance.relative * size + of_row);
    if (share <= worst.share) continue;
    worst = {std::isnan(share) ? INFINITY : share, row, i, got[i], want[i]};
  }
}

}  // namespace

// b = 2^-8 is the rounding error of bf16. Inputs rounded once: so is the result (b, on either
// side), and each of a sum's terms errs by b, the sum by b times its size, for random signs; six of
// them. Inputs kept to 16 bits: only f32's own error remains, and that of b * b.
CheckTolerance CheckTolerance::of(DType activations) {
  constexpr float kB = 0x1p-8F;
  if (activations == DType::kBF16)
    return {.relative = 2 * kB, .of_row = 6 * kB, .of_row_bf16_cache = 6 * kB};
  return {.relative = kB / 32, .of_row = kB / 32, .of_row_bf16_cache = 6 * kB};
}

void CheckedBackend::compare(const std::string& op, const TensorView& written,
                             const std::string& what) {
  compare(op, written, what, tolerance_);
}

void CheckedBackend::compare(const std::string& op, const TensorView& written,
                             const std::string& what, CheckTolerance tolerance) {
  const TensorView twin = shadow(written);
  SLUICE_CHECK(twin.data != written.data);  // else both backends wrote the same memory
  const std::vector<std::byte> subject = read(*subject_, written);
  const std::vector<std::byte> reference = read(*reference_, twin);
  const size_t row_bytes = static_cast<size_t>(written.row_stride) * size_of(written.dtype);
  std::vector<float> got(static_cast<size_t>(written.cols)), want(got.size());
  Difference worst;
  for (int64_t r = 0; r < written.rows; ++r) {
    const size_t at = static_cast<size_t>(r) * row_bytes;
    to_floats(subject.data() + at, written.dtype, got);
    to_floats(reference.data() + at, written.dtype, want);
    compare_row(got, want, r, tolerance, worst);
    reference_->copy(twin.row_ptr(r), subject.data() + at,
                     static_cast<size_t>(written.cols) * size_of(written.dtype));
  }
  reference_->synchronize();
  CheckedOp& record = ops_[op];
  ++record.calls;
  record.worst = std::max(record.worst, worst.share);
  if (worst.share <= 1) return;
  fail_check(__FILE__, __LINE__,
             str(op, what, " [", written.rows, ", ", written.cols, "]: ", subject_->info().name,
                 " and ", reference_->info().name, " differ most at [", worst.row, ", ", worst.col,
                 "]: ", worst.got, " vs ", worst.want, ", ", worst.share, " times the tolerance"));
}

void CheckedBackend::do_embed(TensorView out, const Weight& table, const TokenId* ids,
                              const TokenId* sampled) {
  subject_->embed(out, table, ids, sampled);
  reference_->embed(shadow(out), shadow(table), shadow(ids), shadow(sampled));
  compare("embed", out);
}

void CheckedBackend::do_rms_norm(TensorView out, TensorView x, TensorView weight, float eps) {
  subject_->rms_norm(out, x, weight, eps);
  reference_->rms_norm(shadow(out), shadow(x), shadow(weight), eps);
  compare("rms_norm", out);
}

void CheckedBackend::do_add_rms_norm(TensorView out, TensorView residual, TensorView delta,
                                     TensorView weight, float eps) {
  subject_->add_rms_norm(out, residual, delta, weight, eps);
  reference_->add_rms_norm(shadow(out), shadow(residual), shadow(delta), shadow(weight), eps);
  compare("add_rms_norm", residual, " residual");
  compare("add_rms_norm", out);
}

void CheckedBackend::do_norm_heads(TensorView x, TensorView weight, float eps) {
  subject_->norm_heads(x, weight, eps);
  reference_->norm_heads(shadow(x), shadow(weight), eps);
  compare("norm_heads", x);
}

void CheckedBackend::do_add(TensorView x, TensorView delta) {
  subject_->add(x, delta);
  reference_->add(shadow(x), shadow(delta));
  compare("add", x);
}

void CheckedBackend::do_soft_cap(TensorView x, float cap) {
  subject_->soft_cap(x, cap);
  reference_->soft_cap(shadow(x), cap);
  compare("soft_cap", x);
}

void CheckedBackend::do_scale(TensorView x, float factor) {
  subject_->scale(x, factor);
  reference_->scale(shadow(x), factor);
  compare("scale", x);
}

void CheckedBackend::do_gelu_mul(TensorView out, TensorView gate_up) {
  subject_->gelu_mul(out, gate_up);
  reference_->gelu_mul(shadow(out), shadow(gate_up));
  compare("gelu_mul", out);
}

void CheckedBackend::do_gemm(TensorView out, const ProductInput& x, const Weight& weight) {
  subject_->gemm(out, x, weight);
  reference_->gemm(shadow(out), shadow(x.values), shadow(weight));
  compare("gemm", out, " " + weight.name);
}

// The subject's choice alone: the reference is not there to be fast.
void CheckedBackend::do_prepare_gemm(TensorView out, TensorView x,
                                     std::span<const Weight* const> weights) {
  subject_->prepare_gemm(out, x, weights);
}

void CheckedBackend::do_silu_mul(TensorView out, TensorView gate_up) {
  subject_->silu_mul(out, gate_up);
  reference_->silu_mul(shadow(out), shadow(gate_up));
  compare("silu_mul", out);
}

void CheckedBackend::do_gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                                      const Weight& weight) {
  subject_->gemm_silu_mul(out, gate_up, x, weight);
  reference_->gemm_silu_mul(shadow(out), shadow(gate_up), shadow(x.values), shadow(weight));
  // Either backend may round the product's two factors, as many bits again as the result's.
  CheckTolerance tolerance = tolerance_;
  tolerance.relative *= 2;
  compare("gemm_silu_mul", out, " " + weight.name, tolerance);
}

void CheckedBackend::do_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                                       const RaggedBatchView& batch, const KvCacheView& kv) {
  subject_->rope_append_kv(qkv, num_q_heads, rope, batch, kv);
  reference_->rope_append_kv(shadow(qkv), num_q_heads, shadow(rope), shadow(batch), shadow(kv));
  compare("rope_append_kv", qkv.columns(0, int64_t{num_q_heads} * kv.head_dim));
}

void CheckedBackend::do_attend(TensorView out, TensorView q, int num_q_heads,
                               const AttendOptions& options, const RaggedBatchView& batch,
                               const KvCacheView& kv, const KvRunsView* runs) {
  subject_->attend(out, q, num_q_heads, options, batch, kv, runs);
  KvRunsView twin;
  if (runs != nullptr)
    twin = {shadow(runs->tile_indptr), shadow(runs->run_indptr), shadow(runs->runs)};
  reference_->attend(shadow(out), shadow(q), num_q_heads, options, shadow(batch), shadow(kv),
                     runs == nullptr ? nullptr : &twin);
  CheckTolerance tolerance = tolerance_;
  if (kv.dtype == DType::kBF16) tolerance.of_row = tolerance.of_row_bf16_cache;
  compare("attend", out, "", tolerance);
}

void CheckedBackend::do_gather_rows(TensorView out, TensorView x, const int32_t* rows) {
  subject_->gather_rows(out, x, rows);
  reference_->gather_rows(shadow(out), shadow(x), shadow(rows));
  compare("gather_rows", out);
}

void CheckedBackend::do_sample(const SampledTokens& out, TokenId* next, TensorView logits,
                               TensorView scratch, const SamplingBatch& batch,
                               const TokenId* sampled) {
  subject_->sample(out, next, logits, scratch, batch, sampled);
  if (next == nullptr) return;
  std::vector<TokenId> ids(static_cast<size_t>(logits.rows));
  const size_t bytes = ids.size() * sizeof(TokenId);
  subject_->copy(ids.data(), next, bytes);
  subject_->synchronize();
  reference_->copy(shadow(next), ids.data(), bytes);
  reference_->synchronize();
}

}  // namespace sluice
