// Rotary frequencies: plain RoPE and the ways of stretching it over more positions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace sluice {

// f_i = theta^(-2 i / d) is the frequency of pair i of d / 2; s is `factor`, T `trained_positions`.
enum class RopeKind {
  kNone,       // no rotation at all: "NoPE" layers
  kPlain,      // f_i                                                       arXiv:2104.09864
  kLinear,     // f_i / s                                                   arXiv:2306.15595
  kDynamic,    // plain up to T; past it every length has its own table, which is refused
  kYarn,       // f_i / s for slow pairs, f_i for fast ones, a ramp between arXiv:2309.00071
  kLlama3,     // by wavelength, blended between T / high and T / low       Llama 3.1
  kLongrope,   // f_i / factors[i]                                          arXiv:2402.13753
  kTruncated,  // f_i kept above 2 pi / T, constant in a band, then 0       arXiv:2308.10882
  kPower,      // f_i (1 - 2 i / d)^power                                   arXiv:2308.10882
};

struct RopeConfig {
  RopeKind kind = RopeKind::kPlain;
  double theta = 10000;
  double factor = 1;              // kLinear, kYarn, kLlama3
  int64_t trained_positions = 0;  // all but kNone, kPlain, kLinear, kPower
  double magnitude = 1;           // cosines and sines are multiplied by it: kYarn, kLongrope
  double beta_fast = 32;          // kYarn: turns within T above which a pair is kept
  double beta_slow = 1;           //        and below which it is interpolated
  bool truncate = true;           //        the ramp's ends are whole pairs
  double low_freq_factor = 1;     // kLlama3
  double high_freq_factor = 4;
  double power = 0.5;             // kPower
  std::vector<double> factors{};  // kLongrope: [rotary_dim / 2]

  // Bounds of every field. rotary_dim: elements of a head that rotate.
  Status validate(int rotary_dim) const;
};

// The frequency of each of rotary_dim / 2 pairs, in radians a position. `rope` is valid.
std::vector<double> rope_frequencies(const RopeConfig& rope, int rotary_dim);

// YaRN's scale of cosines and sines: 0.1 m ln(s) + 1, or 1 for s <= 1. Source: arXiv:2309.00071.
double yarn_magnitude(double factor, double m);
// LongRoPE's: sqrt(1 + ln(s) / ln(T)), or 1 for s <= 1. Source: arXiv:2402.13753.
double longrope_magnitude(double factor, int64_t trained_positions);

}  // namespace sluice
