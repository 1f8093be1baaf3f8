// Vectors of the instruction set at hand, on GCC's and Clang's vector extensions: as wide as the
// registers, with the few operations that need a name. Included by the sources of isa/ only; all of
// it lives in a namespace named after the ISA.
//
// Floating-point contraction is off in these sources and fma() is explicit, so that an expression
// rounds the same in every instance of a template: batch invariance depends on it.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "base/types.h"

#define SLUICE_INLINE inline __attribute__((always_inline))

namespace sluice::SLUICE_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

typedef float Vf __attribute__((vector_size(4 * kLanes)));
typedef int32_t Vi __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Vu __attribute__((vector_size(4 * kLanes)));
typedef uint16_t Vh __attribute__((vector_size(2 * kLanes)));

template <typename V>
SLUICE_INLINE V load(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}
template <typename V>
SLUICE_INLINE void store(void* to, V v) {
  std::memcpy(to, &v, sizeof(V));
}
template <typename To, typename From>
SLUICE_INLINE To cast(From x) {
  return __builtin_bit_cast(To, x);
}

SLUICE_INLINE Vf splat(float x) { return x - Vf{}; }
SLUICE_INLINE Vi splat(int32_t x) { return x - Vi{}; }
SLUICE_INLINE Vu splat(uint32_t x) { return x - Vu{}; }

SLUICE_INLINE Vi lane_index() {
  Vi v{};
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// a * b + c; fused where the ISA can.
SLUICE_INLINE Vf fma(Vf a, Vf b, Vf c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

// NaN in a gives b.
SLUICE_INLINE Vf max(Vf a, Vf b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
SLUICE_INLINE Vf min(Vf a, Vf b) { return a < b ? a : b; }

SLUICE_INLINE float reduce_max(Vf v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(v);
#else
  float best = v[0];
  for (int i = 1; i < kLanes; ++i) best = v[i] > best ? v[i] : best;
  return best;
#endif
}

// A tree over the lanes, the same in every call.
SLUICE_INLINE float reduce_add(Vf v) {
  float lane[kLanes];
  store(lane, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

SLUICE_INLINE bool any(Vi mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(cast<__m256>(mask)) != 0;
#else
  int32_t lane[kLanes];
  store(lane, mask);
  int32_t all = 0;
  for (int i = 0; i < kLanes; ++i) all |= lane[i];
  return all != 0;
#endif
}

// ---- bfloat16 and float32 in memory

SLUICE_INLINE Vf load_f32(const float* p) { return load<Vf>(p); }
SLUICE_INLINE Vf load_f32(const BF16* p) {
  return cast<Vf>(__builtin_convertvector(load<Vh>(p), Vu) << 16);
}
// Rounds to nearest even; NaN stays NaN, as to_bf16 in base/types.h.
SLUICE_INLINE Vh round_bf16(Vf x) {
  const Vu u = cast<Vu>(x);
  const Vu rounded = (u + 0x7fffU + ((u >> 16) & 1U)) >> 16;
  const Vu quiet = (u >> 16) | 0x40U;
  return __builtin_convertvector((u & 0x7fffffffU) > 0x7f800000U ? quiet : rounded, Vh);
}
SLUICE_INLINE void store_f32(float* p, Vf v) { store(p, v); }
SLUICE_INLINE void store_f32(BF16* p, Vf v) { store(p, round_bf16(v)); }

SLUICE_INLINE float scalar_f32(float x) { return x; }
SLUICE_INLINE float scalar_f32(BF16 x) { return cast<float>(static_cast<uint32_t>(x.bits) << 16); }
SLUICE_INLINE void store_scalar(float* p, float x) { *p = x; }
SLUICE_INLINE void store_scalar(BF16* p, float x) { p->bits = round_bf16(splat(x))[0]; }

// The first `n` elements, zeros behind; and the first `n` back. For the ends of rows.
template <typename T>
SLUICE_INLINE Vf load_part(const T* p, int64_t n) {
  Vf v{};
  for (int64_t i = 0; i < n; ++i) v[i] = scalar_f32(p[i]);
  return v;
}
template <typename T>
SLUICE_INLINE void store_part(T* p, Vf v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) store_scalar(p + i, v[i]);
}

// ---- elementary functions

// 2^n for whole n in [-126, 127].
SLUICE_INLINE Vf power_of_two(Vf n) {
  return cast<Vf>((__builtin_convertvector(n, Vi) + 127) << 23);
}

// x rounded to the nearest whole number, |x| < 2^22: adding 1.5 * 2^23 leaves no bit for fractions.
SLUICE_INLINE Vf round_nearest(Vf x) { return (x + 12582912.0F) - 12582912.0F; }

// 2^x for x <= 127, relative error < 2^-22.5; 0 below -126, so 2^-inf is 0 exactly. NaN stays NaN.
// The Taylor polynomial of degree 7 on [-0.5, 0.5], its last term economised (Lanczos).
SLUICE_INLINE Vf exp2(Vf x) {
  const Vf kept = x < -126.0F ? splat(-126.0F) : x;
  const Vf n = round_nearest(kept);
  const Vf f = kept - n;
  Vf p = splat(1.540353039e-4F);
  p = fma(p, f, splat(1.340028886e-3F));
  p = fma(p, f, splat(9.618129108e-3F));
  p = fma(p, f, splat(5.550327453e-2F));
  p = fma(p, f, splat(2.402265070e-1F));
  p = fma(p, f, splat(6.931472066e-1F));
  p = fma(p, f, splat(1.0F));
  return x < -126.0F ? Vf{} : p * power_of_two(n);
}

// e^x for x <= 88, relative error < 2^-22; 0 below -87.3. NaN stays NaN. ln 2 is split in two so
// that x - n ln 2 is exact to the last bit (Cody and Waite); the polynomial is exp2's.
SLUICE_INLINE Vf exp(Vf x) {
  const Vf kept = x < -87.3F ? splat(-87.3F) : x;
  const Vf n = round_nearest(kept * 1.44269504088896341F);
  Vf r = fma(n, splat(-0.693359375F), kept);
  r = fma(n, splat(2.12194440e-4F), r);
  Vf p = splat(1.388888889e-3F);
  p = fma(p, r, splat(8.375039324e-3F));
  p = fma(p, r, splat(4.166666667e-2F));
  p = fma(p, r, splat(1.666641619e-1F));
  p = fma(p, r, splat(0.5F));
  p = fma(p, r, splat(1.000000038F));
  p = fma(p, r, splat(1.0F));
  return x < -87.3F ? Vf{} : p * power_of_two(n);
}

// cap * tanh(x / cap) for cap > 0, absolute error < cap * 2^-22: tanh(y) = 1 - 2 / (1 + e^2y),
// whose e^2y may stop growing where tanh is 1 to the last bit. NaN stays NaN.
SLUICE_INLINE Vf soft_cap(Vf x, float cap) {
  const Vf twice = x * (2.0F / cap);
  const Vf e = exp(twice > 80.0F ? splat(80.0F) : twice);
  return cap - 2.0F * cap / (e + 1.0F);
}

// ln x for normal x > 0, relative error < 2^-22 also near 1: x = 2^n m with m in [sqrt(1/2), sqrt
// 2) and ln m = 2 atanh((m - 1) / (m + 1)), whose series in odd powers ends at s^9.
SLUICE_INLINE Vf log(Vf x) {
  const Vi bits = cast<Vi>(x);
  const Vi n = (bits - 0x3f3504f3) >> 23;
  const Vf m = cast<Vf>(bits - (n << 23));
  const Vf exponent = __builtin_convertvector(n, Vf);
  const Vf s = (m - 1.0F) / (m + 1.0F);
  const Vf z = s * s;
  Vf p = splat(2.0F / 9);
  p = fma(p, z, splat(2.0F / 7));
  p = fma(p, z, splat(2.0F / 5));
  p = fma(p, z, splat(2.0F / 3));
  const Vf ln_m = fma(p * z, s, 2.0F * s);
  return fma(exponent, splat(0.693359375F), fma(exponent, splat(-2.12194440e-4F), ln_m));
}

}  // namespace sluice::SLUICE_ISA
