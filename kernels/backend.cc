// The checks of every op, made once, before either device computes.
#include "kernels/backend.h"

#include "base/text.h"

namespace sluice {
namespace {

void check_same_shape(const TensorView& a, const TensorView& b) {
  SLUICE_CHECK_EQ(a.rows, b.rows);
  SLUICE_CHECK_EQ(a.cols, b.cols);
  SLUICE_CHECK(a.dtype == b.dtype);
}

void check_norm_weight(const TensorView& x, const TensorView& weight) {
  SLUICE_CHECK(weight.dtype == DType::kF32);
  SLUICE_CHECK_EQ(weight.rows, 1);
  SLUICE_CHECK_EQ(weight.cols, x.cols);
}

void check_product(const TensorView& out, const ProductInput& input, const Weight& weight) {
  const TensorView& x = input.values;
  if (!input.is_complete()) SLUICE_CHECK_EQ(input.squares.rows, x.rows);
  SLUICE_CHECK_EQ(out.rows, x.rows);
  SLUICE_CHECK_EQ(x.cols, weight.cols);
  SLUICE_CHECK_EQ(out.cols, weight.rows);
  SLUICE_CHECK(out.dtype == x.dtype || out.dtype == DType::kF32);
}

void check_kv(const Backend& backend, const RaggedBatchView& batch, const KvCacheView& kv) {
  SLUICE_CHECK(batch.host != nullptr);
  SLUICE_CHECK(kv.arena != nullptr);
  SLUICE_CHECK(kv.dtype == DType::kF32 || kv.dtype == DType::kBF16);
  if (!backend.supports_head_dim(kv.head_dim)) {
    fail_check(__FILE__, __LINE__,
               str("this backend is not built for a head_dim of ", kv.head_dim));
  }
}

void check_append(const Backend& backend, const TensorView& qkv, int num_q_heads,
                  const RopeTable& rope, const RaggedBatchView& batch, const KvCacheView& kv) {
  check_kv(backend, batch, kv);
  SLUICE_CHECK_EQ(qkv.rows, batch.num_tokens);
  SLUICE_CHECK_EQ(qkv.cols, int64_t{num_q_heads + 2 * kv.num_kv_heads} * kv.head_dim);
  SLUICE_CHECK_EQ(rope.head_dim, kv.head_dim);
}

}  // namespace

Result<Weight> Backend::load_weight(std::string name, std::span<const TensorView> parts,
                                    DType dtype) {
  SLUICE_CHECK(!parts.empty());
  SLUICE_CHECK(dtype != DType::kF16);
  for (const TensorView& part : parts) SLUICE_CHECK_EQ(part.cols, parts.front().cols);
  return do_load_weight(std::move(name), parts, dtype);
}

Result<Weight> Backend::random_weight(std::string name, int64_t rows, int64_t cols, DType dtype,
                                      uint64_t seed, float scale) {
  SLUICE_CHECK(rows > 0 && cols > 0);
  SLUICE_CHECK(dtype != DType::kF16);
  return do_random_weight(std::move(name), rows, cols, dtype, seed, scale);
}

void Backend::embed(TensorView out, const Weight& table, const TokenId* ids,
                    const TokenId* sampled) {
  SLUICE_CHECK_EQ(out.cols, table.cols);
  if (out.rows > 0) do_embed(out, table, ids, sampled);
}

void Backend::rms_norm(TensorView out, TensorView x, TensorView weight, float eps) {
  check_same_shape(out, x);
  check_norm_weight(x, weight);
  if (x.rows > 0) do_rms_norm(out, x, weight, eps);
}

void Backend::add_rms_norm(TensorView out, TensorView residual, TensorView delta, TensorView weight,
                           float eps) {
  check_same_shape(out, residual);
  check_same_shape(delta, residual);
  check_norm_weight(residual, weight);
  if (residual.rows > 0) do_add_rms_norm(out, residual, delta, weight, eps);
}

void Backend::gemm(TensorView out, const ProductInput& x, const Weight& weight) {
  check_product(out, x, weight);
  if (out.rows > 0) do_gemm(out, x, weight);
}

ProductInput Backend::gemm_add_rms_norm(TensorView out, TensorView residual, TensorView x,
                                        const Weight& weight, TensorView norm, float eps) {
  check_product(out, x, weight);
  check_same_shape(out, residual);
  check_norm_weight(residual, norm);
  return out.rows > 0 ? do_gemm_add_rms_norm(out, residual, x, weight, norm, eps) : out;
}

void Backend::prepare_gemm(TensorView out, TensorView x, std::span<const Weight* const> weights) {
  SLUICE_CHECK(!weights.empty());
  for (const Weight* weight : weights) check_product(out, x, *weight);
  if (x.rows > 0) do_prepare_gemm(out, x, weights);
}

void Backend::norm_heads(TensorView x, TensorView weight, float eps) {
  SLUICE_CHECK(weight.dtype == DType::kF32);
  SLUICE_CHECK_EQ(weight.rows, 1);
  SLUICE_CHECK_EQ(x.cols % weight.cols, 0);
  if (x.rows > 0) do_norm_heads(x, weight, eps);
}

void Backend::add(TensorView x, TensorView delta) {
  SLUICE_CHECK_EQ(x.cols, delta.cols);
  const bool is_bias = delta.rows == 1 && delta.dtype == DType::kF32;
  if (!is_bias) check_same_shape(x, delta);
  if (x.rows > 0) do_add(x, delta);
}

void Backend::scale(TensorView x, float factor) {
  if (x.rows > 0) do_scale(x, factor);
}

void Backend::soft_cap(TensorView x, float cap) {
  SLUICE_CHECK(x.dtype == DType::kF32);
  SLUICE_CHECK_GT(cap, 0.0F);
  if (x.rows > 0) do_soft_cap(x, cap);
}

void Backend::silu_mul(TensorView out, TensorView gate_up) {
  SLUICE_CHECK_EQ(out.rows, gate_up.rows);
  SLUICE_CHECK_EQ(2 * out.cols, gate_up.cols);
  SLUICE_CHECK(out.dtype == gate_up.dtype);
  if (out.rows > 0) do_silu_mul(out, gate_up);
}

void Backend::gelu_mul(TensorView out, TensorView gate_up) {
  SLUICE_CHECK_EQ(out.rows, gate_up.rows);
  SLUICE_CHECK_EQ(2 * out.cols, gate_up.cols);
  SLUICE_CHECK(out.dtype == gate_up.dtype);
  if (out.rows > 0) do_gelu_mul(out, gate_up);
}

void Backend::gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                            const Weight& weight) {
  check_product(gate_up, x, weight);
  SLUICE_CHECK(gate_up.dtype == x.values.dtype);
  SLUICE_CHECK_EQ(out.rows, gate_up.rows);
  SLUICE_CHECK_EQ(2 * out.cols, gate_up.cols);
  SLUICE_CHECK(out.dtype == gate_up.dtype);
  if (out.rows > 0) do_gemm_silu_mul(out, gate_up, x, weight);
}

void Backend::gemm_rope_append_kv(TensorView qkv, const ProductInput& x, const Weight& weight,
                                  int num_q_heads, const RopeTable& rope,
                                  const RaggedBatchView& batch, const KvCacheView& kv) {
  check_product(qkv, x, weight);
  check_append(*this, qkv, num_q_heads, rope, batch, kv);
  if (qkv.rows > 0) do_gemm_rope_append_kv(qkv, x, weight, num_q_heads, rope, batch, kv);
}

void Backend::rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                             const RaggedBatchView& batch, const KvCacheView& kv) {
  check_append(*this, qkv, num_q_heads, rope, batch, kv);
  if (qkv.rows > 0) do_rope_append_kv(qkv, num_q_heads, rope, batch, kv);
}

void Backend::attend(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                     const RaggedBatchView& batch, const KvCacheView& kv, const KvRunsView* runs) {
  SLUICE_CHECK_GE(options.window, 0);
  SLUICE_CHECK_GE(options.soft_cap, 0.0F);
  check_kv(*this, batch, kv);
  check_same_shape(out, q);
  SLUICE_CHECK_EQ(q.rows, batch.num_tokens);
  SLUICE_CHECK_EQ(q.cols, int64_t{num_q_heads} * kv.head_dim);
  SLUICE_CHECK_EQ(num_q_heads % kv.num_kv_heads, 0);
  if (q.rows > 0) do_attend(out, q, num_q_heads, options, batch, kv, runs);
}

void Backend::gather_rows(TensorView out, TensorView x, const int32_t* rows) {
  SLUICE_CHECK_EQ(out.cols, x.cols);
  SLUICE_CHECK(out.dtype == x.dtype);
  if (out.rows > 0) do_gather_rows(out, x, rows);
}

void Backend::sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView scratch,
                     const SamplingBatch& batch, const TokenId* sampled) {
  SLUICE_CHECK(logits.dtype == DType::kF32 && scratch.dtype == DType::kF32);
  SLUICE_CHECK_EQ(scratch.cols, logits.cols);
  SLUICE_CHECK_GT(scratch.rows, 0);
  SLUICE_CHECK_EQ(logits.rows, batch.num_rows());
  if (logits.rows > 0) do_sample(out, next, logits, scratch, batch, sampled);
}

}  // namespace sluice
