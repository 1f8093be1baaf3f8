// Loops over a row of logits: log-sum-exp parts, softmax weights, the exponential race.
#include "kernels/cpu/isa/functions.h"
#include "kernels/cpu/isa/simd.h"

namespace sluice::SLUICE_ISA {
namespace {

typedef uint64_t Vl __attribute__((vector_size(4 * kLanes)));

// The 64-bit products of the even lanes of a with the low word of each lane of b.
SLUICE_INLINE Vl multiply_even(Vu a, Vl b) {
#if defined(__AVX512F__)
  return cast<Vl>(_mm512_mul_epu32(cast<__m512i>(a), cast<__m512i>(b)));
#elif defined(__AVX2__)
  return cast<Vl>(_mm256_mul_epu32(cast<__m256i>(a), cast<__m256i>(b)));
#elif defined(__SSE2__)
  return cast<Vl>(_mm_mul_epu32(cast<__m128i>(a), cast<__m128i>(b)));
#else
  return (cast<Vl>(a) & 0xffffffffU) * b;
#endif
}

struct Product {
  Vu high, low;
};
SLUICE_INLINE Product multiply(Vu a, uint32_t b) {
  const Vl factor = uint64_t{b} - Vl{};
  const Vl even = multiply_even(a, factor);
  const Vl odd = multiply_even(cast<Vu>(cast<Vl>(a) >> 32), factor);
  constexpr uint64_t kHighWords = 0xffffffff00000000U;
  return {cast<Vu>((even >> 32) | (odd & kHighWords)),
          cast<Vu>((even & ~kHighWords) | (odd << 32))};
}

// Philox4x32-10 (Salmon et al., SC 2011) of kLanes counters (draw low, draw high, id, 0) under one
// key; the first word of each result.
SLUICE_INLINE Vu philox(uint64_t seed, int64_t draw, Vu ids) {
  Vu c0 = splat(static_cast<uint32_t>(draw));
  Vu c1 = splat(static_cast<uint32_t>(static_cast<uint64_t>(draw) >> 32));
  Vu c2 = ids;
  Vu c3{};
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const Product a = multiply(c0, 0xD2511F53U);
    const Product b = multiply(c2, 0xCD9E8D57U);
    c0 = b.high ^ c1 ^ key0;
    c1 = b.low;
    c2 = a.high ^ c3 ^ key1;
    c3 = a.low;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return c0;
}

// e = -ln u, u = (floor(word / 2^9) + 1/2) / 2^23: exact in f32, never 0 nor 1.
SLUICE_INLINE Vf exponential(Vu word) {
  const Vf high = __builtin_convertvector(cast<Vi>(word >> 9), Vf);
  return -log((high + 0.5F) * 0x1p-23F);
}

}  // namespace

LogitStats logit_stats(const float* x, int64_t n) {
  const float lowest = -__builtin_inff();
  Vf best = splat(lowest);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) best = max(load_f32(x + i), best);
  LogitStats stats;
  stats.max = reduce_max(best);
  for (int64_t j = i; j < n; ++j) stats.max = x[j] > stats.max ? x[j] : stats.max;
  if (stats.max == lowest) {
    stats.sum = 0;
    for (int64_t j = 0; j < n; ++j) stats.sum += x[j] == x[j] ? 0.0F : __builtin_nanf("");
    return stats;
  }
  Vf sum{};
  for (i = 0; i + kLanes <= n; i += kLanes) sum += exp(load_f32(x + i) - stats.max);
  if (i < n) {
    Vf tail = splat(lowest);
    for (int64_t j = i; j < n; ++j) tail[j - i] = x[j];
    sum += exp(tail - stats.max);
  }
  stats.sum = reduce_add(sum);
  const Vf top = splat(stats.max);
  for (i = 0; i + kLanes <= n; i += kLanes) {
    if (any(load_f32(x + i) == top)) break;
  }
  while (i < n && x[i] != stats.max) ++i;
  stats.argmax = static_cast<int>(i);
  return stats;
}

float softmax_weights(float* w, const float* x, int64_t n, float max_logit, float inv_temperature) {
  Vf sum{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vf weight = exp((load_f32(x + i) - max_logit) * inv_temperature);
    store(w + i, weight);
    sum += weight;
  }
  float total = reduce_add(sum);
  if (i < n) store_part(w + i, exp((load_part(x + i, n - i) - max_logit) * inv_temperature), n - i);
  for (; i < n; ++i) total += w[i];
  return total;
}

int64_t at_least(int32_t* ids, const float* w, int64_t n, float bound) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes) {
    const bool whole = i + kLanes <= n;
    const Vf weight = whole ? load_f32(w + i) : load_part(w + i, n - i);
    if (!any(weight >= bound)) continue;
    const int64_t last = whole ? i + kLanes : n;
    for (int64_t j = i; j < last; ++j) {
      ids[count] = static_cast<int32_t>(j);
      count += w[j] >= bound;
    }
  }
  return count;
}

int64_t race(const float* w, const int32_t* ids, int64_t n, uint64_t seed, int64_t draw) {
  Vf best{};  // w / e of a positive w is positive
  Vi best_id = splat(INT32_MAX);
  Vi best_at = splat(-1);
  const Vi lanes = lane_index();
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t count = n - i < kLanes ? n - i : kLanes;
    const Vi at = lanes + static_cast<int32_t>(i);
    Vi id = at;
    if (ids != nullptr) {
      id = Vi{};
      std::memcpy(&id, ids + i, static_cast<size_t>(count) * sizeof(int32_t));
    }
    const Vf weight = count == kLanes ? load_f32(w + i) : load_part(w + i, count);
    const Vf score = weight / exponential(philox(seed, draw, cast<Vu>(id)));
    const Vi wins = (score > best) | ((score == best) & (score > 0.0F) & (id < best_id));
    best = wins ? score : best;
    best_id = wins ? id : best_id;
    best_at = wins ? at : best_at;
  }
  int winner = 0;
  for (int lane = 1; lane < kLanes; ++lane) {
    if (best[lane] > best[winner] ||
        (best[lane] == best[winner] && best_id[lane] < best_id[winner])) {
      winner = lane;
    }
  }
  return best_at[winner];
}

int64_t count_above(const float* x, int64_t n, float bound) {
  Vi count{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) count -= load_f32(x + i) > bound;
  int64_t total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += count[lane];
  for (; i < n; ++i) total += x[i] > bound;
  return total;
}

void exp_all(float* out, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, exp(load_f32(x + i)));
  if (i < n) store_part(out + i, exp(load_part(x + i, n - i)), n - i);
}

}  // namespace sluice::SLUICE_ISA
