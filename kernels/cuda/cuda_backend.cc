// The CUDA backend: owns the stream, the handles and the scratch memory; turns ops into launches.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention/attention_op.h"
#include "kernels/cuda/ceilings.h"
#include "kernels/cuda/convert.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/gemm/gemm.h"
#include "kernels/cuda/gemm/split.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/sampling.h"
#include "kernels/cuda/staging.h"

namespace sluice {
namespace cuda {
namespace {

constexpr size_t kRoundedBytes = size_t{4} << 20;
// Of the kernels that cuBLASLt takes for more rows: a step of 2,049 rows of an 8B model takes 58 ms
// on an H100, one of 2,040 50.
constexpr int kRowTile = 256;

class CudaBackend final : public Backend {
 public:
  CudaBackend(int device, DType activations, const std::string& cache_dir, CudaAttention attention);
  ~CudaBackend() override;

  BackendInfo info() const override;
  DType activation_dtype(DType weights) const override {
    return weights == DType::kF32 ? DType::kF32 : activations_;
  }
  Result<Buffer> allocate(size_t bytes, Memory where) override;
  Status prepare(const StepLimits& limits) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void fill_zero(void* to, size_t bytes) override;
  void upload(void* to, const void* from, size_t bytes) override;
  Fence fence() override { return {fences_->record()}; }
  void wait(Fence fence) override { fences_->wait(fence.number); }
  void synchronize() override;
  Result<Ceilings> measure_ceilings() override {
    return cuda::measure_ceilings(*this, gemm_->dense(), stream_);
  }
  bool supports_head_dim(int head_dim) const override {
    return AttentionOp::supports_head_dim(head_dim);
  }
  // Products take other kernels, and so other orders of summation, by the number of rows.
  bool batch_invariant() const override { return false; }

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
  void do_norm_heads(TensorView x, TensorView weight, float eps) override {
    launch_norm_heads(x, weight, eps, stream_);
  }
  void do_add(TensorView x, TensorView delta) override { launch_scale_add(x, 1, &delta, stream_); }
  void do_scale(TensorView x, float factor) override {
    launch_scale_add(x, factor, nullptr, stream_);
  }
  void do_soft_cap(TensorView x, float cap) override { launch_soft_cap(x, cap, stream_); }
  void do_gelu_mul(TensorView out, TensorView gate_up) override {
    launch_gelu_mul(out, gate_up, stream_);
  }
  void do_gemm(TensorView out, const ProductInput& x, const Weight& weight) override;
  ProductInput do_gemm_add_rms_norm(TensorView out, TensorView residual, TensorView x,
                                    const Weight& weight, TensorView norm, float eps) override;
  void do_prepare_gemm(TensorView out, TensorView x,
                       std::span<const Weight* const> weights) override;
  void do_silu_mul(TensorView out, TensorView gate_up) override;
  void do_gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                        const Weight& weight) override;
  void do_gemm_rope_append_kv(TensorView qkv, const ProductInput& x, const Weight& weight,
                              int num_q_heads, const RopeTable& rope, const RaggedBatchView& batch,
                              const KvCacheView& kv) override;
  void do_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                         const RaggedBatchView& batch, const KvCacheView& kv) override;
  void do_attend(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                 const RaggedBatchView& batch, const KvCacheView& kv,
                 const KvRunsView* runs) override;
  void do_gather_rows(TensorView out, TensorView x, const int32_t* rows) override;
  void do_sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView scratch,
                 const SamplingBatch& batch, const TokenId* sampled) override;

  int device_ = 0;
  DType activations_;
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  cudaStream_t upload_stream_ = nullptr;
  std::unique_ptr<Fences> fences_;  // of stream_
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<SplitGemm> split_gemm_;  // where activations are f32

  std::unique_ptr<AttentionOp> attention_;

  std::unique_ptr<Staging> sample_staging_;
  Buffer rounded_;  // inputs of products, rounded to the weight's dtype
};

CudaBackend::CudaBackend(int device, DType activations, const std::string& cache_dir,
                         CudaAttention attention)
    : device_(device), activations_(activations) {
  SLUICE_CUDA_CHECK(cudaSetDevice(device));
  // A stack for every thread that the card can hold would take 277 MB of an H100; no kernel
  // recurses, and what the compiler spills has its own room.
  SLUICE_CUDA_CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 0));
  SLUICE_CUDA_CHECK(cudaGetDeviceProperties(&properties_, device));
  for (cudaStream_t* stream : {&stream_, &upload_stream_})
    SLUICE_CUDA_CHECK(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
  fences_ = std::make_unique<Fences>(stream_);
  gemm_ = std::make_unique<Gemm>(*this, properties_, cache_dir, stream_);
  if (activations_ == DType::kF32) split_gemm_ = std::make_unique<SplitGemm>(*this);
  attention_ =
      std::make_unique<AttentionOp>(*this, *fences_, stream_, properties_.multiProcessorCount,
                                    attention == CudaAttention::kPortable);
  rounded_ = allocate(kRoundedBytes, Memory::kDevice).value();
  if (const Status room = prepare({}); !room.ok()) fail_check(__FILE__, __LINE__, room.message());
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_);
  fences_.reset();
  cudaStreamDestroy(stream_);
  cudaStreamDestroy(upload_stream_);
}

BackendInfo CudaBackend::info() const {
  size_t free = 0, total = 0;
  SLUICE_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return {.name = str("cuda ", properties_.name),
          .is_host = false,
          .activations = activations_,
          .row_tile = kRowTile,
          .memory_bytes_total = static_cast<int64_t>(total),
          .memory_bytes_free = static_cast<int64_t>(free)};
}

Result<Buffer> CudaBackend::allocate(size_t bytes, Memory where) {
  void* data = nullptr;
  const size_t wanted = std::max<size_t>(bytes, 1);
  const bool on_device = where == Memory::kDevice;
  const cudaError_t error = on_device ? cudaMalloc(&data, wanted) : cudaMallocHost(&data, wanted);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // the one error that is not sticky
    return Status(StatusCode::kResourceExhausted,
                  str("out of ", on_device ? "device" : "pinned host", " memory: ", bytes,
                      " bytes were asked for"));
  }
  SLUICE_CUDA_CHECK(error);
  if (on_device) return Buffer(data, bytes, [](void* p) { cudaFree(p); });
  return Buffer(data, bytes, [](void* p) { cudaFreeHost(p); });
}

Status CudaBackend::prepare(const StepLimits& limits) {
  synchronize();
  SLUICE_RETURN_IF_ERROR(attention_->prepare(limits));
  Result<std::unique_ptr<Staging>> sample =
      Staging::create(*this, *fences_, limits.max_sampling_bytes);
  if (!sample.ok()) return sample.status();
  sample_staging_ = std::move(sample).value();
  return {};
}

void CudaBackend::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) SLUICE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_));
}

void CudaBackend::fill_zero(void* to, size_t bytes) {
  if (bytes > 0) SLUICE_CUDA_CHECK(cudaMemsetAsync(to, 0, bytes, stream_));
}

// The host waits for the copy and the ops need not: no wait in stream_ parts one kernel from the
// next.
void CudaBackend::upload(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  SLUICE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, upload_stream_));
  SLUICE_CUDA_CHECK(cudaStreamSynchronize(upload_stream_));
}

void CudaBackend::synchronize() { SLUICE_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

Result<Weight> CudaBackend::do_load_weight(std::string name, std::span<const TensorView> parts,
                                           DType dtype) {
  Weight weight{.name = std::move(name),
                .dtype = dtype,
                .rows = 0,
                .cols = parts.front().cols,
                .storage = {}};
  for (const TensorView& part : parts) weight.rows += part.rows;
  const size_t row_bytes = static_cast<size_t>(weight.cols) * size_of(dtype);
  Result<Buffer> storage = allocate(static_cast<size_t>(weight.rows) * row_bytes, Memory::kDevice);
  if (!storage.ok()) return storage.status();
  weight.storage = std::move(storage).value();
  auto* to = weight.storage.as<std::byte>();
  std::vector<std::byte> converted;
  for (const TensorView& part : parts) {
    const size_t bytes = static_cast<size_t>(part.rows) * row_bytes;
    converted.resize(bytes);
    convert_rows(converted.data(), dtype, part);
    SLUICE_CUDA_CHECK(
        cudaMemcpyAsync(to, converted.data(), bytes, cudaMemcpyHostToDevice, stream_));
    SLUICE_CUDA_CHECK(cudaStreamSynchronize(stream_));
    to += bytes;
  }
  return weight;
}

Result<Weight> CudaBackend::do_random_weight(std::string name, int64_t rows, int64_t cols,
                                             DType dtype, uint64_t seed, float scale) {
  Result<Buffer> storage =
      allocate(static_cast<size_t>(rows * cols) * size_of(dtype), Memory::kDevice);
  if (!storage.ok()) return storage.status();
  launch_random_weight(storage.value().data(), dtype, rows, cols, seed, scale, stream_);
  return Weight{.name = std::move(name),
                .dtype = dtype,
                .rows = rows,
                .cols = cols,
                .storage = std::move(storage).value()};
}

void CudaBackend::do_embed(TensorView out, const Weight& table, const TokenId* ids,
                           const TokenId* sampled) {
  launch_embed(out, table, ids, sampled, stream_);
}

void CudaBackend::do_rms_norm(TensorView out, TensorView x, TensorView weight, float eps) {
  launch_rms_norm(out, x, nullptr, weight, eps, stream_);
}

void CudaBackend::do_add_rms_norm(TensorView out, TensorView residual, TensorView delta,
                                  TensorView weight, float eps) {
  launch_rms_norm(out, residual, &delta, weight, eps, stream_);
}

void CudaBackend::do_gemm(TensorView out, const ProductInput& input, const Weight& weight) {
  if (input.values.dtype == weight.dtype) return gemm_->run(out, input, weight);
  const TensorView x = gemm_->complete(input);
  if (x.dtype == DType::kF32 && weight.dtype == DType::kBF16 && split_gemm_) {
    const auto product = [this](TensorView y, TensorView halves, const Weight& w) {
      gemm_->run(y, halves, w);
    };
    return split_gemm_->run(out, x, weight, product, stream_);
  }
  // As many rows at a time as have room. No model needs it: their activations are chosen to fit.
  const auto row_bytes = static_cast<size_t>(x.cols) * size_of(weight.dtype);
  const auto most = static_cast<int64_t>(kRoundedBytes / row_bytes);
  SLUICE_CHECK_GT(most, 0);
  for (int64_t first = 0; first < x.rows; first += most) {
    const int64_t rows = std::min(most, x.rows - first);
    const auto rounded = TensorView::dense(rounded_.data(), weight.dtype, rows, x.cols);
    launch_convert(rounded, x.row_range(first, rows), stream_);
    gemm_->run(out.row_range(first, rows), rounded, weight);
  }
}

void CudaBackend::do_prepare_gemm(TensorView out, TensorView x,
                                  std::span<const Weight* const> weights) {
  // Float32 inputs take what is likeliest to be fast: they become products of other shapes, or, of
  // float32 weights, take long to measure and are not there for speed.
  if (x.dtype == DType::kBF16 && weights.front()->dtype == DType::kBF16)
    gemm_->prepare(out, x, weights);
}

void CudaBackend::do_silu_mul(TensorView out, TensorView gate_up) {
  launch_silu_mul(out, gate_up, stream_);
}

void CudaBackend::do_gemm_silu_mul(TensorView out, TensorView gate_up, const ProductInput& x,
                                   const Weight& weight) {
  if (gemm_->run_gated(out, x, weight)) return;
  do_gemm(gate_up, x, weight);
  do_silu_mul(out, gate_up);
}

ProductInput CudaBackend::do_gemm_add_rms_norm(TensorView out, TensorView residual, TensorView x,
                                               const Weight& weight, TensorView norm, float eps) {
  if (const auto normed = gemm_->run_add_norm(out, residual, x, weight, norm, eps)) return *normed;
  do_gemm(out, x, weight);
  do_add_rms_norm(out, residual, out, norm, eps);
  return out;
}

void CudaBackend::do_gemm_rope_append_kv(TensorView qkv, const ProductInput& x,
                                         const Weight& weight, int num_q_heads,
                                         const RopeTable& rope, const RaggedBatchView& batch,
                                         const KvCacheView& kv) {
  if (gemm_->run_rope_append_kv(qkv, x, weight, num_q_heads, rope, batch, kv)) return;
  do_gemm(qkv, x, weight);
  do_rope_append_kv(qkv, num_q_heads, rope, batch, kv);
}

void CudaBackend::do_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                                    const RaggedBatchView& batch, const KvCacheView& kv) {
  launch_rope_append_kv(qkv, num_q_heads, rope, batch, kv, stream_);
}

void CudaBackend::do_attend(TensorView out, TensorView q, int num_q_heads,
                            const AttendOptions& options, const RaggedBatchView& batch,
                            const KvCacheView& kv, const KvRunsView* runs) {
  attention_->run(out, q, num_q_heads, options, batch, kv, runs);
}

void CudaBackend::do_gather_rows(TensorView out, TensorView x, const int32_t* rows) {
  launch_gather_rows(out, x, rows, stream_);
}

// A batch's masks on the device, as SamplingView has them.
struct MaskView {
  const int32_t* row = nullptr;
  const uint32_t* words = nullptr;
};

MaskView add_masks(Staging& staging, const SamplingBatch& batch, int vocab) {
  const auto has_mask = [](const uint32_t* mask) { return mask != nullptr; };
  const auto count = static_cast<size_t>(std::ranges::count_if(batch.mask, has_mask));
  if (count == 0) return {};
  const size_t size = mask_words(vocab);
  const auto rows = staging.make_room<int32_t>(batch.mask.size());
  const auto words = staging.make_room<uint32_t>(count * size);
  int32_t used = 0;
  for (size_t r = 0; r < batch.mask.size(); ++r) {
    rows.host[r] = batch.mask[r] == nullptr ? -1 : used;
    if (batch.mask[r] == nullptr) continue;
    std::memcpy(words.host + static_cast<size_t>(used++) * size, batch.mask[r],
                size * sizeof(uint32_t));
  }
  return {rows.device, words.device};
}

void CudaBackend::do_sample(const SampledTokens& out, TokenId* next, TensorView logits,
                            TensorView scratch, const SamplingBatch& b, const TokenId* sampled) {
  Staging& s = *sample_staging_;
  s.begin();
  const MaskView masks = add_masks(s, b, static_cast<int>(logits.cols));
  const SamplingView view{.temperature = s.add(b.temperature),
                          .top_p = s.add(b.top_p),
                          .min_p = s.add(b.min_p),
                          .repetition_penalty = s.add(b.repetition_penalty),
                          .presence_penalty = s.add(b.presence_penalty),
                          .frequency_penalty = s.add(b.frequency_penalty),
                          .top_k = s.add(b.top_k),
                          .seed = s.add(b.seed),
                          .draw = s.add(b.draw),
                          .target = s.add(b.target),
                          .num_top = s.add(b.num_top),
                          .pending = s.add(b.pending),
                          .history_indptr = s.add(b.history_indptr),
                          .history_ids = s.add(b.history_ids),
                          .history_counts = s.add(b.history_counts),
                          .bias_indptr = s.add(b.bias_indptr),
                          .bias_ids = s.add(b.bias_ids),
                          .bias_values = s.add(b.bias_values),
                          .allowed_indptr = s.add(b.allowed_indptr),
                          .allowed_ids = s.add(b.allowed_ids),
                          .banned_indptr = s.add(b.banned_indptr),
                          .banned_ids = s.add(b.banned_ids),
                          .mask_row = masks.row,
                          .masks = masks.words,
                          .sampled = sampled};
  s.upload();
  launch_sample(out, next, logits, scratch, view, /*clusters=*/properties_.major >= 9, stream_);
}

}  // namespace
}  // namespace cuda

Result<std::unique_ptr<Backend>> make_cuda_backend(DType activations, const std::string& cache_dir,
                                                   CudaAttention attention) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    return Status(StatusCode::kUnavailable, str("no CUDA device: ", cudaGetErrorString(error)),
                  "device");
  }
  cudaDeviceProp properties{};
  SLUICE_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  if (properties.major != 9) {
    return Status(
        StatusCode::kUnimplemented,
        str("CUDA device 0 is ", properties.name, ", compute capability ", properties.major, ".",
            properties.minor, "; the kernels are built for 9.0 (Hopper); use --device cpu"),
        "device");
  }
  return std::unique_ptr<Backend>(
      std::make_unique<cuda::CudaBackend>(0, activations, cache_dir, attention));
}

}  // namespace sluice
