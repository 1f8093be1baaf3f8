// CheckedBackend: runs two backends on the same inputs, op by op, and stops at the first result
// that differs too much, naming the op and its worst element. For tests and for a run over a real
// model (`sluice eval golden --check-ops`); several times slower than either. (lc0's `check`
// backend is the idea.)
//
//   caller -> op -> subject    on the subject's memory          -> compared, in f32
//               \-> reference  on a shadow of every buffer      -> / then overwritten by the
//               subject's
//
// Overwriting keeps errors from adding up: each op is judged on the inputs that the subject had.
// The K and V tiles are each backend's own arrangement; they are compared through attend. Neither
// they nor rows that lack factors could be made equal: so gemm_rope_append_kv and gemm_add_rms_norm
// are run, and judged, as the two ops that each is made of; kernels_test judges them in one.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "kernels/backend.h"

namespace sluice {

// Largest |a - b| allowed: relative * max(|a|, |b|) + of_row * (root mean square of the row). The
// second term is for sums that cancel: their error follows their terms, which are as large as the
// sums that do not.
struct CheckTolerance {
  float relative = 0;
  float of_row = 0;
  // In the place of of_row for attention over bf16 keys and values: each backend rotates and rounds
  // its own, to neighbours now and then, which a sharp softmax makes visible.
  float of_row_bf16_cache = 0;

  // Two correct backends stay within it where `activations` is the less exact of their
  // BackendInfo::activations.
  static CheckTolerance of(DType activations);
};

// What the calls of one op came to.
struct CheckedOp {
  int64_t calls = 0;
  float worst = 0;  // of the tolerance: 1 is its end
};

// Both backends must share a memory space for Memory::kHost. Every tensor that an op writes must
// lie in buffers that this backend allocated. A difference throws InternalError. Sampling runs on
// the subject alone: near-ties may fall either way.
class CheckedBackend final : public Backend {
 public:
  CheckedBackend(std::unique_ptr<Backend> subject, std::unique_ptr<Backend> reference,
                 CheckTolerance tolerance);
  ~CheckedBackend() override;

  BackendInfo info() const override;
  DType activation_dtype(DType weights) const override;
  Result<Buffer> allocate(size_t bytes, Memory where) override;
  Status prepare(const StepLimits& limits) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void fill_zero(void* to, size_t bytes) override;
  void upload(void* to, const void* from, size_t bytes) override;
  Fence fence() override;
  void wait(Fence fence) override;
  void synchronize() override;
  Result<Ceilings> measure_ceilings() override;
  bool supports_head_dim(int head_dim) const override;
  bool batch_invariant() const override;

  // By op, in alphabetical order.
  const std::map<std::string, CheckedOp>& ops() const { return ops_; }

 private:
  Result<Weight> do_load_weight(std::string name, std::span<const TensorView> parts,
                                DType dtype) override;
  Result<Weight> do_random_weight(std::string name, int64_t rows, int64_t cols, DType dtype,
                                  uint64_t seed, float scale) override;
  void do_embed(TensorView out, const Weight& table, const TokenId* ids,
                const TokenId* sampled) override;
  void do_rms_norm(TensorView out, TensorView x, TensorView weight, float eps) override;
  void do_add_rms_norm(TensorView out, TensorView residual, TensorView delta, TensorView weight,
                       float eps) override;
  void do_norm_heads(TensorView x, TensorView weight, float eps) override;
  void do_add(TensorView x, TensorView delta) override;
  void do_scale(TensorView x, float factor) override;
  void do_soft_cap(TensorView x, float cap) override;
  void do_gelu_mul(TensorView out, TensorView gate_up) override;
  void do_gemm(TensorView out, const ProductInput& x, const Weight& weight) override;
  void do_prepare_gemm(TensorView out, TensorView x,
                       std::span<const Weight* const> weights) override;
  void do_silu_mul(TensorView out, TensorView gate_up) override;
  void do_gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                        const Weight& weight) override;
  void do_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                         const RaggedBatchView& batch, const KvCacheView& kv) override;
  void do_attend(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                 const RaggedBatchView& batch, const KvCacheView& kv,
                 const KvRunsView* runs) override;
  void do_gather_rows(TensorView out, TensorView x, const int32_t* rows) override;
  void do_sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView scratch,
                 const SamplingBatch& batch, const TokenId* sampled) override;

  // The shadow of device memory; memory that is not ours (host arrays of a host backend) is its
  // own.
  template <typename T>
  T* shadow(T* p) const {
    return static_cast<T*>(const_cast<void*>(shadow_of(p)));
  }
  const void* shadow_of(const void* p) const;
  TensorView shadow(TensorView x) const;
  RaggedBatchView shadow(const RaggedBatchView& batch) const;
  RopeTable shadow(const RopeTable& rope) const;
  KvCacheView shadow(const KvCacheView& kv) const;
  const Weight& shadow(const Weight& weight) const;
  Result<Weight> pair(Result<Weight> subject, Result<Weight> reference);
  // `what` is added to the op in messages.
  void compare(const std::string& op, const TensorView& written, const std::string& what = {});
  void compare(const std::string& op, const TensorView& written, const std::string& what,
               CheckTolerance tolerance);

  struct Shadow;
  struct Shadows;
  CheckTolerance tolerance_;
  std::unique_ptr<Backend> subject_;
  std::unique_ptr<Backend> reference_;
  // Shared with the release functions of the buffers and weights handed out.
  std::shared_ptr<Shadows> shadows_;
  std::map<std::string, CheckedOp> ops_;
};

}  // namespace sluice
