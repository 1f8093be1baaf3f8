// Activations eight at a time (16-byte or 32-byte accesses) or one at a time, f32 in registers.
#pragma once

#include <cuda_bf16.h>

namespace sluice::cuda {

inline constexpr int kVector = 8;

__device__ __forceinline__ void load8(float (&x)[kVector], const __nv_bfloat16* from) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = __uint_as_float(words[i] << 16);
    x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
  }
}
__device__ __forceinline__ void load8(float (&x)[kVector], const float* from) {
  const float4 a = reinterpret_cast<const float4*>(from)[0];
  const float4 b = reinterpret_cast<const float4*>(from)[1];
  x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
  x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}
__device__ __forceinline__ void store8(__nv_bfloat16* to, const float (&x)[kVector]) {
  __nv_bfloat162 pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) pairs[i] = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
  *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(pairs);
}
__device__ __forceinline__ void store8(float* to, const float (&x)[kVector]) {
  reinterpret_cast<float4*>(to)[0] = make_float4(x[0], x[1], x[2], x[3]);
  reinterpret_cast<float4*>(to)[1] = make_float4(x[4], x[5], x[6], x[7]);
}

__device__ __forceinline__ float to_f32(float x) { return x; }
__device__ __forceinline__ float to_f32(__nv_bfloat16 x) { return __bfloat162float(x); }
template <typename T>
__device__ __forceinline__ T from_f32(float x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else {
    return __float2bfloat16_rn(x);
  }
}

__device__ __forceinline__ float silu(float x) { return x / (1.0F + __expf(-x)); }

// V elements: eight, which must be 16-byte aligned, or one, where a shape allows no more.
template <int V, typename T>
__device__ __forceinline__ void load(float (&x)[V], const T* from) {
  if constexpr (V == kVector) {
    load8(x, from);
  } else {
    static_assert(V == 1);
    x[0] = to_f32(*from);
  }
}
template <int V, typename T>
__device__ __forceinline__ void store(T* to, const float (&x)[V]) {
  if constexpr (V == kVector) {
    store8(to, x);
  } else {
    static_assert(V == 1);
    *to = from_f32<T>(x[0]);
  }
}

}  // namespace sluice::cuda
