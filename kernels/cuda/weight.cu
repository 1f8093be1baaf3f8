// Dummy weights, the same numbers as every backend's: formula in kernels/cpu/packed_weight.h.
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/dispatch.h"
#include "kernels/cuda/launchers.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 256;

// Output function of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
__device__ uint64_t splitmix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

template <typename T>
__global__ void random_kernel(T* out, int64_t rows, int64_t cols, uint64_t seed, float scale) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < rows * cols; i += step) {
    const auto row = static_cast<uint64_t>(i / cols), col = static_cast<uint64_t>(i % cols);
    const uint64_t h = splitmix64(seed + ((row << 32) + col + 1) * 0x9E3779B97F4A7C15ULL);
    const float u = static_cast<float>(h >> 40) * 0x1p-24F;
    out[i] = from_f32<T>(scale * (2.0F * u - 1.0F));
  }
}

}  // namespace

void launch_random_weight(void* out, DType dtype, int64_t rows, int64_t cols, uint64_t seed,
                          float scale, cudaStream_t stream) {
  constexpr int64_t kMaxBlocks = 4096;
  const auto blocks =
      static_cast<unsigned>(std::min(kMaxBlocks, ceil_div(rows * cols, int64_t{kThreads})));
  dispatch_dtype(dtype, [&](auto element) {
    using T = decltype(element);
    random_kernel<<<blocks, kThreads, 0, stream>>>(static_cast<T*>(out), rows, cols, seed, scale);
  });
  SLUICE_CUDA_CHECK_LAUNCH();
}

}  // namespace sluice::cuda
