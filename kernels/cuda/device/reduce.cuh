// Reductions over a block in a fixed order, so that equal inputs give equal bits on any grid.
#pragma once

namespace sluice::cuda {

// Combines `value` of all threads; every thread gets the result. blockDim.x is a multiple of 32, at
// most 1024. Consecutive calls may share nothing but this function's own shared memory: it ends
// with a barrier.
template <typename T, typename Combine>
__device__ __forceinline__ T block_reduce(T value, Combine combine, T neutral) {
  __shared__ T partial[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    value = combine(value, __shfl_xor_sync(~0U, value, step));
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = lane < static_cast<int>(blockDim.x) / 32 ? partial[lane] : neutral;
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    value = combine(value, __shfl_xor_sync(~0U, value, step));
  __syncthreads();
  return value;
}

__device__ __forceinline__ float block_sum(float value) {
  return block_reduce(value, [](float a, float b) { return a + b; }, 0.0F);
}
__device__ __forceinline__ float block_max(float value) {
  return block_reduce(value, [](float a, float b) { return fmaxf(a, b); }, -INFINITY);
}

}  // namespace sluice::cuda
