// The formulas of the frequencies, in double.
#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/text.h"

namespace sluice {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;
constexpr double kMaxFactor = 1e6;

Status check(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return {};
  return invalid_argument(str(name, " is ", value, "; expected ", low, " to ", high), name);
}

// The pair, as a real number, that makes `turns` turns within T positions.
double pair_of_turns(const RopeConfig& rope, int rotary_dim, double turns) {
  return rotary_dim * std::log(static_cast<double>(rope.trained_positions) / (turns * kTurn)) /
         (2 * std::log(rope.theta));
}

void apply_yarn(const RopeConfig& rope, int rotary_dim, std::vector<double>& frequencies) {
  double low = pair_of_turns(rope, rotary_dim, rope.beta_fast);
  double high = pair_of_turns(rope, rotary_dim, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rotary_dim - 1.0);
  if (low == high) high += 0.001;  // a step and not a division by zero
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= slow / rope.factor + (1 - slow);
  }
}

double llama3_frequency(const RopeConfig& rope, double f) {
  const double turns = static_cast<double>(rope.trained_positions) * f / kTurn;
  if (turns > rope.high_freq_factor) return f;
  if (turns < rope.low_freq_factor) return f / rope.factor;
  const double keep =
      (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - keep) * f / rope.factor + keep * f;
}

double truncated_frequency(const RopeConfig& rope, double f) {
  const double cutoff = kTurn / static_cast<double>(rope.trained_positions);
  if (f >= cutoff) return f;
  return f > cutoff / 8 ? cutoff / 16 : 0;
}

}  // namespace

Status RopeConfig::validate(int rotary_dim) const {
  if (kind == RopeKind::kNone) return {};
  // YaRN divides by ln(theta).
  SLUICE_RETURN_IF_ERROR(check("rope_theta", theta, kind == RopeKind::kYarn ? 1.001 : 1, 1e15));
  SLUICE_RETURN_IF_ERROR(check("RoPE's factor", factor, 1, kMaxFactor));
  SLUICE_RETURN_IF_ERROR(check("RoPE's attention_factor", magnitude, 1e-3, 1e3));
  SLUICE_RETURN_IF_ERROR(check("beta_slow", beta_slow, 1e-3, kMaxFactor));
  SLUICE_RETURN_IF_ERROR(check("beta_fast", beta_fast, beta_slow, kMaxFactor));
  SLUICE_RETURN_IF_ERROR(check("low_freq_factor", low_freq_factor, 1e-3, kMaxFactor));
  SLUICE_RETURN_IF_ERROR(check("high_freq_factor", high_freq_factor, 1e-3, kMaxFactor));
  SLUICE_RETURN_IF_ERROR(check("RoPE's power", power, 0, 100));
  if (kind == RopeKind::kLlama3 && high_freq_factor <= low_freq_factor) {
    return invalid_argument(str("high_freq_factor is ", high_freq_factor,
                                "; expected more than low_freq_factor, ", low_freq_factor),
                            "high_freq_factor");
  }
  const bool stretches =
      kind != RopeKind::kPlain && kind != RopeKind::kLinear && kind != RopeKind::kPower;
  if (stretches) {
    SLUICE_RETURN_IF_ERROR(check("original_max_position_embeddings",
                                 static_cast<double>(trained_positions), 1, 1 << 24));
  }
  if (kind != RopeKind::kLongrope) return {};
  if (factors.size() != static_cast<size_t>(rotary_dim) / 2) {
    return invalid_argument(str("short_factor has ", factors.size(), " numbers; expected ",
                                rotary_dim / 2, ", one for each pair that rotates"),
                            "short_factor");
  }
  for (const double f : factors)
    SLUICE_RETURN_IF_ERROR(check("a number of short_factor", f, 1e-6, kMaxFactor));
  return {};
}

std::vector<double> rope_frequencies(const RopeConfig& rope, int rotary_dim) {
  std::vector<double> f(static_cast<size_t>(rotary_dim) / 2);
  if (rope.kind == RopeKind::kNone) return f;
  for (size_t i = 0; i < f.size(); ++i) {
    const double share = 2 * static_cast<double>(i) / rotary_dim;
    f[i] = std::pow(rope.theta, -share);
    if (rope.kind == RopeKind::kLinear) f[i] /= rope.factor;
    if (rope.kind == RopeKind::kLlama3) f[i] = llama3_frequency(rope, f[i]);
    if (rope.kind == RopeKind::kLongrope) f[i] /= rope.factors[i];
    if (rope.kind == RopeKind::kTruncated) f[i] = truncated_frequency(rope, f[i]);
    if (rope.kind == RopeKind::kPower) f[i] *= std::pow(1 - share, rope.power);
  }
  if (rope.kind == RopeKind::kYarn) apply_yarn(rope, rotary_dim, f);
  return f;
}

double yarn_magnitude(double factor, double m) {
  return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1;
}

double longrope_magnitude(double factor, int64_t trained_positions) {
  if (factor <= 1 || trained_positions <= 1) return 1;
  return std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(trained_positions)));
}

}  // namespace sluice
