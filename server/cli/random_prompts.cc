// splitmix64 (Steele, Lea, Flood 2014) as a counter-based generator.
#include "server/cli/random_prompts.h"

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

uint64_t random_word(uint64_t seed, uint64_t stream, uint64_t index) {
  return mix(mix(mix(seed) ^ stream) ^ index);
}

}  // namespace

std::vector<TokenId> random_tokens(uint64_t seed, uint64_t stream, int64_t count, int vocab_size) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] =
        static_cast<TokenId>(random_word(seed, stream, i) % static_cast<uint64_t>(vocab_size));
  }
  return tokens;
}

int64_t random_length(uint64_t seed, uint64_t stream, int64_t mean, double ratio) {
  const double unit = static_cast<double>(random_word(seed, stream, 0) >> 11) * 0x1p-53;
  const double length = static_cast<double>(mean) * (1 - ratio + 2 * ratio * unit);
  return std::max<int64_t>(1, std::llround(length));
}

}  // namespace sluice
