// Choosing kernels for products: by rule, by measurement, from the cache.
#include "kernels/cuda/gemm/gemm.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/gemm/fusions.h"
#include "kernels/cuda/gemm/plain.h"
#include "kernels/cuda/gemm/skinny.h"
#include "kernels/cuda/launchers.h"

namespace sluice::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what cuBLASLt asks for at most on Hopper
constexpr int kGuesses = 8;                           // of cuBLASLt, that are considered
// Above, cuBLASLt's first guess is within a few per cent, and measuring takes long.
constexpr int64_t kMostMeasuredRows = 2048;
constexpr int64_t kMaxNormedCols = 16384;  // of rows that lack factors: 2 MB of them
constexpr int kProducts = 8, kRounds = 3;
// A candidate must be this much faster than an earlier one: noise should not choose.
constexpr float kGain = 0.98F;

// What body() enqueues on the stream, as a graph: launched without the host's pauses.
class Recording {
 public:
  template <typename Body>
  Recording(cudaStream_t stream, Body body) : stream_(stream) {
    SLUICE_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    body();
    SLUICE_CUDA_CHECK(cudaStreamEndCapture(stream, &graph_));
    SLUICE_CUDA_CHECK(cudaGraphInstantiate(&executable_, graph_, 0));
    SLUICE_CUDA_CHECK(cudaEventCreate(&begin_));
    SLUICE_CUDA_CHECK(cudaEventCreate(&end_));
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
  }

  float milliseconds() {
    SLUICE_CUDA_CHECK(cudaEventRecord(begin_, stream_));
    SLUICE_CUDA_CHECK(cudaGraphLaunch(executable_, stream_));
    SLUICE_CUDA_CHECK(cudaEventRecord(end_, stream_));
    SLUICE_CUDA_CHECK(cudaEventSynchronize(end_));
    float elapsed = 0;
    SLUICE_CUDA_CHECK(cudaEventElapsedTime(&elapsed, begin_, end_));
    return elapsed;
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

GemmShape shape_of(const TensorView& out, const TensorView& x) {
  return {.row_bucket = row_bucket(x.rows),
          .weight_rows = out.cols,
          .cols = x.cols,
          .in = x.dtype,
          .out = out.dtype};
}

// The shape of `view` with its bucket's largest row count; nothing may be read or written there.
TensorView of_bucket(TensorView view) {
  view.rows = row_bucket(view.rows);
  return view;
}

}  // namespace

Gemm::Gemm(Backend& memory, const cudaDeviceProp& card, const std::string& cache_dir,
           cudaStream_t stream)
    : num_sms_(card.multiProcessorCount),
      stream_(stream),
      workspace_(memory.allocate(kWorkspaceBytes, Memory::kDevice).value()),
      squares_(
          memory.allocate(sizeof(float) * kRingRows * kMaxNormedCols / kSquaresOf, Memory::kDevice)
              .value()),
      completed_(
          memory.allocate(sizeof(BF16) * kRingRows * kMaxNormedCols, Memory::kDevice).value()),
      dense_(workspace_.data(), kWorkspaceBytes),
      ring_(num_sms_),
      machine_(str(card.name, ", ", num_sms_, " SMs, cuBLASLt ", DenseGemm::version())) {
  if (cache_dir.empty()) return;
  cache_path_ = str(cache_dir, "/gemm-choices.txt");
  Result<GemmChoices> kept = read_choices(cache_path_, machine_);
  if (kept.ok()) {
    choices_ = std::move(kept).value();
  } else if (kept.status().code() != StatusCode::kNotFound) {
    log_warning(str(kept.status().message(), "; products are measured again"));
  }
}

void Gemm::run(TensorView out, const ProductInput& input, const Weight& weight) {
  const TensorView& x = input.values;
  if (fits_skinny_gemm(x, weight)) return launch_skinny_gemm(out, input, weight, num_sms_, stream_);
  if (!DenseGemm::fits(out, x)) return launch_plain_gemm(out, complete(input), weight, stream_);
  if (run(out, input, weight, choose(out, x, weight))) return;
  // What suits one row count of a bucket need not suit another: sixteen rows, and a lone one.
  // Nothing is kept: it must not matter which of them came first.
  const TensorView whole = complete(input);
  const DenseAlgorithm suited = dense_.guesses(out, whole, weight, 1).front();
  SLUICE_CHECK(dense_.run(out, whole, weight, suited, stream_));
}

GemmChoice Gemm::choose(TensorView out, TensorView x, const Weight& weight) {
  const GemmShape shape = shape_of(out, x);
  if (const GemmChoice* known = choices_.find(shape)) return *known;
  if (const GemmChoice* guess = guesses_.find(shape)) return *guess;
  // For the bucket's largest row count, so that it does not depend on which one came first.
  const GemmChoice guess = candidates(of_bucket(out), of_bucket(x), weight).front();
  guesses_.add(shape, guess);  // where there is no more room, it is guessed each time
  return guess;
}

std::optional<RingCut> Gemm::ring_cut(TensorView out, TensorView x, const Weight& weight) {
  // The choice is that of the product alone, though its result may never be written.
  const auto whole = TensorView::dense(out.data, out.dtype, out.rows, weight.rows);
  if (!RingGemm::fits(x, weight) || !DenseGemm::fits(whole, x)) return std::nullopt;
  const GemmChoice choice = choose(whole, x, weight);
  const auto* cut = std::get_if<RingCut>(&choice);
  return cut != nullptr ? std::optional(*cut) : std::nullopt;
}

bool Gemm::run_gated(TensorView out, const ProductInput& x, const Weight& weight) {
  if (out.dtype != DType::kBF16 || out.cols % kGatedRows != 0) return false;
  if (fits_skinny_gemm(x.values, weight)) {
    launch_gated_skinny_gemm(out, x, weight, num_sms_, stream_);
    return true;
  }
  const std::optional<RingCut> cut = ring_cut(out, x.values, weight);
  if (cut) ring_.run_gated(out, x, weight, *cut, stream_);
  return cut.has_value();
}

std::optional<ProductInput> Gemm::run_add_norm(TensorView out, TensorView residual, TensorView x,
                                               const Weight& weight, TensorView norm, float eps) {
  if (out.dtype != DType::kBF16 || out.cols % (4 * kSquaresOf) != 0 || out.cols > kMaxNormedCols)
    return std::nullopt;
  const auto squares =
      TensorView::dense(squares_.data(), DType::kF32, out.rows, out.cols / kSquaresOf);
  const AddNorm to{.out = static_cast<__nv_bfloat16*>(out.data),
                   .out_stride = out.row_stride,
                   .residual = static_cast<__nv_bfloat16*>(residual.data),
                   .residual_stride = residual.row_stride,
                   .norm = static_cast<const float*>(norm.data),
                   .squares = static_cast<float*>(squares.data),
                   .squares_stride = squares.row_stride};
  if (fits_skinny_gemm(x, weight)) {
    launch_skinny_gemm_add_norm(to, x, weight, num_sms_, stream_);
  } else if (const std::optional<RingCut> cut = ring_cut(out, x, weight)) {
    ring_.run_add_norm(to, x, weight, *cut, stream_);
  } else {
    return std::nullopt;
  }
  return ProductInput(out, squares, eps);
}

bool Gemm::run_rope_append_kv(TensorView qkv, const ProductInput& x, const Weight& weight,
                              int num_q_heads, const RopeTable& rope, const RaggedBatchView& batch,
                              const KvCacheView& kv) {
  if (qkv.dtype != DType::kBF16 || kv.dtype != DType::kBF16 || kv.head_dim % kSquaresOf != 0 ||
      !fits_skinny_gemm(x.values, weight)) {
    return false;
  }
  const RopeAppend to{.qkv = static_cast<__nv_bfloat16*>(qkv.data),
                      .stride = qkv.row_stride,
                      .num_q_heads = num_q_heads,
                      .rope = rope,
                      .batch = batch,
                      .kv = kv};
  launch_skinny_gemm_rope(to, x, weight, num_sms_, stream_);
  return true;
}

TensorView Gemm::complete(const ProductInput& x) const {
  if (x.is_complete()) return x.values;
  const auto whole =
      TensorView::dense(completed_.data(), x.values.dtype, x.values.rows, x.values.cols);
  launch_complete(whole, x, stream_);
  return whole;
}

bool Gemm::run(TensorView out, const ProductInput& x, const Weight& weight,
               const GemmChoice& choice) const {
  if (const auto* cut = std::get_if<RingCut>(&choice)) {
    ring_.run(out, x, weight, *cut, stream_);
    return true;
  }
  return dense_.run(out, complete(x), weight, std::get<DenseAlgorithm>(choice), stream_);
}

std::vector<GemmChoice> Gemm::candidates(TensorView out, TensorView x, const Weight& weight) const {
  std::vector<GemmChoice> found;
  if (RingGemm::fits(x, weight)) {
    for (const RingCut& cut : ring_.cuts(x.rows, weight.rows)) found.emplace_back(cut);
  }
  // What serves the bucket's largest row count may not serve its smallest.
  const int64_t fewest = std::min(x.rows, row_bucket(x.rows) / 2 + 1);
  for (const DenseAlgorithm& guess : dense_.guesses(out, x, weight, kGuesses)) {
    if (dense_.takes(guess, out.head(fewest), x.head(fewest), weight)) found.emplace_back(guess);
  }
  if (found.empty()) found.emplace_back(dense_.guesses(out, x, weight, 1).front());
  return found;
}

// ---- measuring ---------------------------------------------------------------------------------

void Gemm::prepare(TensorView out, TensorView x, std::span<const Weight* const> weights) {
  const auto start = std::chrono::steady_clock::now();
  int measured = 0;
  launch_random_weight(x.data, x.dtype, std::min(x.rows, kMostMeasuredRows), x.row_stride,
                       /*seed=*/1, /*scale=*/1, stream_);
  for (int64_t bucket = kSmallestBucket;
       bucket <= kMostMeasuredRows && bucket < 2 * std::max(out.rows, int64_t{1}); bucket *= 2) {
    const TensorView to = out.head(std::min(bucket, out.rows));
    const TensorView from = x.head(to.rows);
    if (choices_.find(shape_of(to, from)) != nullptr || !DenseGemm::fits(to, from)) continue;
    if (choices_.size() == GemmChoices::kMaxChoices) break;
    choices_.add(shape_of(to, from), fastest(to, from, weights));
    ++measured;
  }
  if (measured == 0) return;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  log_info(str("measured products with ", weights.front()->name, " for ", measured,
               " sizes of step in ", took.count(), " s"));
  if (cache_path_.empty()) return;
  const Status kept = write_choices(cache_path_, machine_, choices_);
  if (!kept.ok()) log_warning(str("products are measured at every start: ", kept.message()));
}

GemmChoice Gemm::fastest(TensorView out, TensorView x,
                         std::span<const Weight* const> weights) const {
  GemmChoice best;
  float best_ms = INFINITY;
  for (const GemmChoice& candidate : candidates(out, x, *weights.front())) {
    const float ms = milliseconds(out, x, weights, candidate);
    if (ms >= kGain * best_ms) continue;
    best = candidate;
    best_ms = ms;
  }
  return best;
}

float Gemm::milliseconds(TensorView out, TensorView x, std::span<const Weight* const> weights,
                         const GemmChoice& choice) const {
  if (!run(out, x, *weights.front(), choice)) return INFINITY;  // loads the kernel
  Recording recording(stream_, [&] {
    for (int i = 0; i < kProducts; ++i) {
      launch_convert(x, x, stream_);
      SLUICE_CHECK(run(out, x, *weights[static_cast<size_t>(i) % weights.size()], choice));
    }
  });
  recording.milliseconds();
  float best = INFINITY;
  for (int i = 0; i < kRounds; ++i) best = std::min(best, recording.milliseconds());
  return best;
}

}  // namespace sluice::cuda
