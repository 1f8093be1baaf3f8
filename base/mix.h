// mix64: 64 bits in, 64 well-mixed bits out; for hashes and derived seeds.
#pragma once

#include <cstdint>

namespace sluice {

// A bijection: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). mix64(0) is 0, so add
// something odd first where zeros are likely.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// The odd constant that SplitMix64 steps by.
inline constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15U;

}  // namespace sluice
