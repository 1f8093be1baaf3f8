// How far a result may lie from the double-precision reference: |got - want| <= relative * |want| +
// absolute, with the arithmetic of each row. u = 2^-24 is f32's rounding error, b = 2^-8 bf16's.
#pragma once

#include <cmath>

#include "base/types.h"

namespace sluice {

struct Tolerance {
  double relative;
  double absolute;
};

inline constexpr double kU = 0x1p-24;
inline constexpr double kB = 0x1p-8;

// What writing a result as `out` costs.
inline double rounding_of(DType out) { return out == DType::kBF16 ? kB : kU; }

// Norms, SiLU, rotary: a handful of f32 operations, exp within 4 u, a mean whose partial sums stay
// relative to a sum of positive terms: 16 u covers them.
inline Tolerance rowwise_tolerance(DType out) { return {rounding_of(out) + 16 * kU, 16 * kU}; }

// What is lost of an input of a product with bf16 panels: bf16 inputs are rounded once, f32 ones
// go in as two bf16, so that the second one's rounding is lost.
inline double input_loss(DType activations) { return activations == DType::kBF16 ? kB : kB * kB; }

// A sum of k products |x w| <= magnitude each: f32 accumulation in order errs by at most k u of the
// sum of magnitudes, bf16 weights let the backend round x as its `activations` say. Random signs
// make both grow as the square root; 4 standard deviations.
inline Tolerance gemm_tolerance(int64_t k, double magnitude, DType weight, DType out,
                                DType activations) {
  const double per_term = (weight == DType::kBF16 ? input_loss(activations) : 0) +
                          std::sqrt(static_cast<double>(k)) * kU;
  return {rounding_of(out), 4 * per_term * magnitude * std::sqrt(static_cast<double>(k)) + 16 * kU};
}

// A convex combination of values |v| <= magnitude: p and its maximum's exponent err by the logits'
// error (q rounded to bf16 in bf16 caches: b |logit| / sqrt(d) typically, 2 b with |logit| <= 4 at
// 4 standard deviations), p itself is rounded to bf16 (b). All of it weighs at most `magnitude`.
// Where q is f32 and kept, what remains is a rotated k that f32 rounds to the other neighbour in
// bf16 than double does: 2 b of one of d elements, b / 4 of a logit.
inline Tolerance attend_tolerance(DType kv, DType q, DType activations, double magnitude) {
  const double bf16 = q == DType::kF32 && activations == DType::kF32 ? kB / 4 : 4 * kB;
  return {rounding_of(q), (kv == DType::kBF16 ? bf16 : 64 * kU) * magnitude};
}

// A logprob: exp within 4 u, a sum of n terms in lanes, a log: absolute, since log turns relative
// errors into absolute ones; plus the rounding of logits up to 64 in size.
inline Tolerance logprob_tolerance() { return {4 * kU, 64 * kU}; }

}  // namespace sluice
