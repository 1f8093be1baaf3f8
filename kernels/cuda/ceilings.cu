// Medians of a few runs, timed by events: a kernel that only reads, the driver's copy, cuBLASLt's
// largest product.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/cuda/ceilings.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/launchers.h"

namespace sluice::cuda {
namespace {

constexpr size_t kMemoryBytes = size_t{1} << 30;  // far more than the second-level cache
constexpr int64_t kGemmSize = 8192;               // rows, columns and depth of the product
constexpr int kRuns = 7;
constexpr int kThreads = 512;
constexpr int kUnroll = 8;  // loads in flight a thread

// Reads `count` vectors and writes nothing, unless they sum up to what random bits do not.
__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* from, int64_t count, uint32_t* sink) {
  uint32_t sum = 0;
  const int64_t step = int64_t{gridDim.x} * kThreads * kUnroll;
  for (int64_t i = int64_t{blockIdx.x} * kThreads * kUnroll + threadIdx.x; i < count; i += step) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = i + u * kThreads;
      if (at >= count) continue;
      const uint4 value = __ldcs(from + at);
      sum |= value.x ^ value.y ^ value.z ^ value.w;
    }
  }
  if (sum == 0) *sink = 1;
}

// Median milliseconds of `body`, which enqueues on `stream`.
template <typename Body>
double median_ms(cudaStream_t stream, Body&& body) {
  cudaEvent_t start = nullptr, stop = nullptr;
  SLUICE_CUDA_CHECK(cudaEventCreate(&start));
  SLUICE_CUDA_CHECK(cudaEventCreate(&stop));
  body();  // warm-up
  std::array<float, kRuns> times{};
  for (float& ms : times) {
    SLUICE_CUDA_CHECK(cudaEventRecord(start, stream));
    body();
    SLUICE_CUDA_CHECK(cudaEventRecord(stop, stream));
    SLUICE_CUDA_CHECK(cudaEventSynchronize(stop));
    SLUICE_CUDA_CHECK(cudaEventElapsedTime(&ms, start, stop));
  }
  SLUICE_CUDA_CHECK(cudaEventDestroy(start));
  SLUICE_CUDA_CHECK(cudaEventDestroy(stop));
  std::sort(times.begin(), times.end());
  return times[kRuns / 2];
}

}  // namespace

Result<Ceilings> measure_ceilings(Backend& backend, const DenseGemm& gemm, cudaStream_t stream) {
  Result<Buffer> memory = backend.allocate(2 * kMemoryBytes, Memory::kDevice);
  if (!memory.ok()) return memory.status();
  auto* from = memory->as<std::byte>();
  std::byte* to = from + kMemoryBytes;
  launch_random_weight(from, DType::kBF16, 1 << 16, kMemoryBytes / 2 >> 16, 1, 1.0F, stream);

  constexpr int kReadBlocks = 4096;  // enough for any card, and still long loops
  const double read_ms = median_ms(stream, [&] {
    read_kernel<<<kReadBlocks, kThreads, 0, stream>>>(
        reinterpret_cast<const uint4*>(from), static_cast<int64_t>(kMemoryBytes / sizeof(uint4)),
        reinterpret_cast<uint32_t*>(to));
    SLUICE_CUDA_CHECK(cudaGetLastError());
  });
  const double copy_ms = median_ms(stream, [&] {
    SLUICE_CUDA_CHECK(cudaMemcpyAsync(to, from, kMemoryBytes, cudaMemcpyDeviceToDevice, stream));
  });

  Result<Weight> weight = backend.random_weight("ceiling", kGemmSize, kGemmSize, DType::kBF16,
                                                /*seed=*/2, 1.0F);
  if (!weight.ok()) return weight.status();
  const TensorView x = TensorView::dense(from, DType::kBF16, kGemmSize, kGemmSize);
  const TensorView out = TensorView::dense(to, DType::kBF16, kGemmSize, kGemmSize);
  const DenseAlgorithm guess = gemm.guesses(out, x, weight.value(), 1).front();
  const double gemm_ms =
      median_ms(stream, [&] { SLUICE_CHECK(gemm.run(out, x, weight.value(), guess, stream)); });
  SLUICE_CUDA_CHECK(cudaStreamSynchronize(stream));
  const auto bytes = static_cast<double>(kMemoryBytes);
  const auto size = static_cast<double>(kGemmSize);
  return Ceilings{.read_bytes_per_s = 1e3 * bytes / read_ms,
                  .copy_bytes_per_s = 1e3 * 2 * bytes / copy_ms,
                  .flops_per_s = 1e3 * 2 * size * size * size / gemm_ms};
}

}  // namespace sluice::cuda
