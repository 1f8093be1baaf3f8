// Backend: the seam between what is computed and where. An op computes the same on either device.
//
// Public functions check shapes once; private virtual do_* compute. Ops are enqueued on the
// backend's one stream and run in order; nothing allocates after start-up. Pointers inside views
// are device memory unless a comment says host. One thread at a time may call a Backend (the
// engine's). "Activations" are f32 or bf16 (see Info); every op accumulates in f32. tokens == 0 is
// a no-op everywhere.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "kernels/cluster_ops.h"
#include "kernels/ragged_batch.h"
#include "kernels/sampling_batch.h"
#include "kernels/tensor.h"

namespace sluice {

struct BackendInfo {
  std::string name;     // "cpu avx512_bf16, 2 threads"
  bool is_host = true;  // device memory is host memory
  // What the inputs of products with bf16 weights, keys and values are rounded to: kBF16, or kF32,
  // which keeps 16 bits of mantissa or more at up to twice the multiply-adds.
  DType activations = DType::kF32;
  // Rows that a product of many takes at a time: one row more costs as much as so many. 1: no
  // tiles.
  int row_tile = 1;
  int64_t memory_bytes_total = 0;
  int64_t memory_bytes_free = 0;  // when info() was called
};

// What a device does at best, measured: what benches compare ops with.
struct Ceilings {
  double read_bytes_per_s = 0;  // of memory far larger than the caches
  double copy_bytes_per_s = 0;  // of the same: bytes read and bytes written, added up
  double flops_per_s = 0;       // of bf16 multiply-adds, two each; of f32 where there are none
};

// Rotary tables: cos and sin [positions, head_dim / 2] f32, already scaled. Row p serves position
// p.
struct RopeTable {
  const float* cos = nullptr;
  const float* sin = nullptr;
  int64_t num_positions = 0;
  int head_dim = 0;
};

// How a layer's products of queries and keys become weights.
struct AttendOptions {
  float scale = 1;  // of q . k
  int window = 0;   // keys that a row sees: its own and those before; 0: all
  float soft_cap =
      0;  // scaled products x become soft_cap * tanh(x / soft_cap); 0: stay as they are
};

// The largest step that the ops will meet.
struct StepLimits {
  int64_t max_tokens = 8192;
  int64_t max_seqs = 1024;
  int num_q_heads = 64;
  int num_kv_heads = 8;
  int head_dim = 256;
  int64_t max_sampling_bytes = int64_t{4} << 20;  // SamplingBatch::bytes() and masks
};

// A point in the order of a backend's ops.
struct Fence {
  uint64_t number = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual BackendInfo info() const = 0;
  // Element type that activations have between the ops of a model with weights of `weights`; the
  // CPU says f32 for all, and rounds inside its products.
  virtual DType activation_dtype(DType weights) const = 0;

  // ---- memory: at start-up only
  // ---------------------------------------------------------------------- Uninitialised; fails
  // with kResourceExhausted, naming the size, when there is not enough.
  virtual Result<Buffer> allocate(size_t bytes, Memory where) = 0;

  // Makes the room that ops take beside their operands that of steps within `limits`; until then it
  // is that of StepLimits{}. Larger steps throw. kResourceExhausted as allocate().
  virtual Status prepare(const StepLimits& limits) = 0;

  // Stacks `parts` (host memory, each [rows_i, cols], any dtype) along rows, converts to `dtype`
  // and arranges the result. The parts may be unmapped after the call. dtype is kF32 or kBF16.
  Result<Weight> load_weight(std::string name, std::span<const TensorView> parts, DType dtype);
  // Elements uniform in [-scale, scale], a hash of (seed, row, col) alone, so that every backend
  // and every arrangement holds the same numbers: scale * (2 u - 1) rounded to `dtype`, with
  // u = floor(h / 2^40) / 2^24 and h = splitmix64's output function (Steele, Lea and Flood, OOPSLA
  // 2014) of seed + (row * 2^32 + col + 1) * 0x9E3779B97F4A7C15. For --load-format dummy.
  Result<Weight> random_weight(std::string name, int64_t rows, int64_t cols, DType dtype,
                               uint64_t seed, float scale);

  // ---- transfers, in stream order
  // -------------------------------------------------------------------- At least one side is
  // Memory::kHost of this backend, or device memory on both. Asynchronous: a host side must stay
  // untouched until synchronize().
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  virtual void fill_zero(void* to, size_t bytes) = 0;
  // Host to device memory, beside the stream: ops enqueued before may still be running, and none of
  // them may use `to`. It is done when it returns, which takes microseconds.
  virtual void upload(void* to, const void* from, size_t bytes) = 0;
  // Marks the end of the ops enqueued so far.
  virtual Fence fence() = 0;
  // Waits until the ops before `fence` are done and what they wrote to host memory is there. A
  // fence older than the last few may wait for a later one.
  virtual void wait(Fence fence) = 0;
  // Waits until every op enqueued so far is done.
  virtual void synchronize() = 0;

  // ---- ops
  // -------------------------------------------------------------------------------------------
  // out[t, :] = table[ids[t], :]          out [tokens, hidden] activations; ids [tokens] device
  // A pending_token(i) stands for sampled[i], device; where that is -1, since its logits were not
  // finite, any row of the table will do: that sequence is over.
  void embed(TensorView out, const Weight& table, const TokenId* ids,
             const TokenId* sampled = nullptr);

  // out[t, :] = x[t, :] / sqrt(mean(x[t, :]^2) + eps) * weight      source: arXiv:1910.07467
  //   x, out [tokens, hidden] same dtype, may alias, rows may be strided; weight [1, hidden] f32
  void rms_norm(TensorView out, TensorView x, TensorView weight, float eps);

  // residual += delta; out = rms_norm(residual)      all [tokens, hidden], one dtype; out may alias
  // delta
  void add_rms_norm(TensorView out, TensorView residual, TensorView delta, TensorView weight,
                    float eps);

  // x[t, i] = x[t, i] / sqrt(mean(its head's x^2) + eps) * weight[i % d]      x [tokens, heads * d]
  // activations, in place, rows may be strided; weight [1, d] f32
  void norm_heads(TensorView x, TensorView weight, float eps);

  // x += delta      x [tokens, n] activations; delta [tokens, n] of the same dtype, or a bias
  // [1, n] f32 that is added to every row; rows may be strided
  void add(TensorView x, TensorView delta);

  // x *= factor      x [tokens, n] activations
  void scale(TensorView x, float factor);

  // x = cap * tanh(x / cap)      x [tokens, n] f32; cap > 0; source: arXiv:2408.00118
  void soft_cap(TensorView x, float cap);

  // out = x * weight^T      x [tokens, in] activations; weight [out, in]; out [tokens, out]
  // activations or f32 Each out element is one fixed-order sum over `in` that does not depend on
  // the number of tokens where batch_invariant() is true.
  void gemm(TensorView out, const ProductInput& x, const Weight& weight);

  // residual += x * weight^T; out = rms_norm(residual): gemm, then add_rms_norm, in one where that
  // is faster; then the product is not rounded in between, and what is returned lacks its factors.
  //   x [tokens, in], residual, out [tokens, n] activations; weight [n, in]; norm [1, n] f32
  // Returns `out` as the products after this call take it; nothing else may read it, and it lasts
  // until the next call.
  [[nodiscard]] ProductInput gemm_add_rms_norm(TensorView out, TensorView residual, TensorView x,
                                               const Weight& weight, TensorView norm, float eps);

  // gemm, then rope_append_kv of its result, in one where that is faster; then the product is not
  // rounded in between, and the columns of k and v hold anything.
  void gemm_rope_append_kv(TensorView qkv, const ProductInput& x, const Weight& weight,
                           int num_q_heads, const RopeTable& rope, const RaggedBatchView& batch,
                           const KvCacheView& kv);

  // Start-up: lets the backend measure by which of its kernels products of this shape are computed
  // fastest, for 1 ... out.rows rows; without it they take a guess. `weights` are of one shape, as
  // the layers' are, and at least one; out and x are scratch of gemm's shapes, and overwritten.
  void prepare_gemm(TensorView out, TensorView x, std::span<const Weight* const> weights);

  // out[t, i] = silu(gate_up[t, i]) * gate_up[t, n + i]      gate_up [tokens, 2 n], out [tokens,
  // n], which may be the left half of gate_up
  void silu_mul(TensorView out, TensorView gate_up);

  // out[t, i] = gelu(gate_up[t, i]) * gate_up[t, n + i], shapes as silu_mul's, with
  // gelu(g) = g / 2 (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))); source: arXiv:1606.08415
  void gelu_mul(TensorView out, TensorView gate_up);

  // out = silu(x * Wg^T) * (x * Wu^T), element by element: gemm, then silu_mul, in one where that
  // is faster; then the two products are not rounded in between.
  //   x [tokens, in], out [tokens, n] activations; weight [2 n, in]: Wg's rows, then Wu's
  //   gate_up [tokens, 2 n] activations: scratch, which holds anything afterwards; out may be its
  //   left half
  void gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                     const Weight& weight);

  // Rotates the q heads of qkv in place and writes rotated k and plain v of this step to the cache.
  //   qkv [tokens, (num_q_heads + 2 kv_heads) * head_dim] activations: q heads, then k heads, then
  //   v heads pairs are (i, i + head_dim / 2), as transformers' rotate_half; source:
  //   arXiv:2104.09864
  // Row t goes to slot position % 64 of block position / 64 of its sequence.
  void rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                      const RaggedBatchView& batch, const KvCacheView& kv);

  // out[t, h] = sum_j softmax_j(cap(scale * q[t, h] . k[j, g])) v[j, g],  g = h / (num_q_heads /
  // kv_heads),
  //   j over the keys visible to row t (ragged_batch.h), cut to the window and to `runs` where not
  //   null. No key: zeros. q, out [tokens, num_q_heads * head_dim] activations, rows may be
  //   strided; must not alias
  // Reads the cache after rope_append_kv of the same step, but no block whose keys no row of its
  // sequence has in its window. head_dim: as supports_head_dim says.
  void attend(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
              const RaggedBatchView& batch, const KvCacheView& kv, const KvRunsView* runs);

  // out[i, :] = x[rows[i], :]      rows [out.rows] device
  void gather_rows(TensorView out, TensorView x, const int32_t* rows);

  // Turns logits [rows, vocab] f32 into tokens as sampling_batch.h says; may overwrite the logits.
  //   out      [rows] Memory::kHost, complete once a later fence is; batch: host, read at once
  //   scratch  [n, vocab] f32, n >= 1: room that the op may use, for n rows at a time
  //   next     [rows] device: out.ids once more, for the step after; null where there is none
  //   sampled  device: what batch.pending points at; null where nothing is pending
  void sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView scratch,
              const SamplingBatch& batch, const TokenId* sampled = nullptr);

  // Takes about a second, and memory meanwhile; kResourceExhausted when there is not enough.
  virtual Result<Ceilings> measure_ceilings() = 0;

  // Squeezed Attention's ops, the backend's own; null where it has none.
  virtual ClusterOps* cluster_ops() { return nullptr; }

  // Whether rope_append_kv and attend are built for heads of this size.
  virtual bool supports_head_dim(int head_dim) const = 0;
  // True where a row's result never depends on the other rows of the call, to the bit.
  virtual bool batch_invariant() const = 0;

 private:
  virtual Result<Weight> do_load_weight(std::string name, std::span<const TensorView> parts,
                                        DType dtype) = 0;
  virtual Result<Weight> do_random_weight(std::string name, int64_t rows, int64_t cols, DType dtype,
                                          uint64_t seed, float scale) = 0;
  virtual void do_embed(TensorView out, const Weight& table, const TokenId* ids,
                        const TokenId* sampled) = 0;
  virtual void do_rms_norm(TensorView out, TensorView x, TensorView weight, float eps) = 0;
  virtual void do_add_rms_norm(TensorView out, TensorView residual, TensorView delta,
                               TensorView weight, float eps) = 0;
  virtual void do_norm_heads(TensorView x, TensorView weight, float eps) = 0;
  virtual void do_add(TensorView x, TensorView delta) = 0;
  virtual void do_scale(TensorView x, float factor) = 0;
  virtual void do_soft_cap(TensorView x, float cap) = 0;
  virtual void do_gemm(TensorView out, const ProductInput& x, const Weight& weight) = 0;
  virtual ProductInput do_gemm_add_rms_norm(TensorView out, TensorView residual, TensorView x,
                                            const Weight& weight, TensorView norm, float eps) {
    do_gemm(out, x, weight);
    do_add_rms_norm(out, residual, out, norm, eps);
    return out;
  }
  virtual void do_gemm_rope_append_kv(TensorView qkv, const ProductInput& x, const Weight& weight,
                                      int num_q_heads, const RopeTable& rope,
                                      const RaggedBatchView& batch, const KvCacheView& kv) {
    do_gemm(qkv, x, weight);
    do_rope_append_kv(qkv, num_q_heads, rope, batch, kv);
  }
  virtual void do_prepare_gemm(TensorView /*out*/, TensorView /*x*/,
                               std::span<const Weight* const> /*weights*/) {}  // nothing to choose
  virtual void do_silu_mul(TensorView out, TensorView gate_up) = 0;
  virtual void do_gelu_mul(TensorView out, TensorView gate_up) = 0;
  virtual void do_gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                                const Weight& weight) {
    do_gemm(gate_up, x, weight);
    do_silu_mul(out, gate_up);
  }
  virtual void do_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                                 const RaggedBatchView& batch, const KvCacheView& kv) = 0;
  virtual void do_attend(TensorView out, TensorView q, int num_q_heads,
                         const AttendOptions& options, const RaggedBatchView& batch,
                         const KvCacheView& kv, const KvRunsView* runs) = 0;
  virtual void do_gather_rows(TensorView out, TensorView x, const int32_t* rows) = 0;
  virtual void do_sample(const SampledTokens& out, TokenId* next, TensorView logits,
                         TensorView scratch, const SamplingBatch& batch,
                         const TokenId* sampled) = 0;
};

// BackendInfo::activations where nobody chose: accurate on the CPU, fast on a GPU.
inline constexpr DType kCpuActivations = DType::kF32;
inline constexpr DType kCudaActivations = DType::kBF16;

// The CPU backend on `num_threads` threads (the caller is one of them); kernels/cpu.
std::unique_ptr<Backend> make_cpu_backend(int num_threads, DType activations = kCpuActivations);

// kPortable: attention by what every card since sm_80 can do, though this one may know more: to
// test here what runs there.
enum class CudaAttention { kBest, kPortable };

// The CUDA backend on device 0; kernels/cuda, linked where SLUICE_WITH_CUDA is defined.
// kUnavailable without a device or driver, kUnimplemented on a card that the kernels are not built
// for. What prepare_gemm measured is kept in files in `cache_dir`; empty: nowhere.
Result<std::unique_ptr<Backend>> make_cuda_backend(DType activations = kCudaActivations,
                                                   const std::string& cache_dir = {},
                                                   CudaAttention attention = CudaAttention::kBest);

}  // namespace sluice
