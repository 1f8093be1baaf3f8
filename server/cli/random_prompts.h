// Random prompts of the benches: token ids without meaning, the same for the same seed.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace sluice {

// `count` ids uniform in [0, vocab_size), by splitmix64 of (seed, stream): two streams have nothing
// in common, so no prefix cache can help one with the other.
std::vector<TokenId> random_tokens(uint64_t seed, uint64_t stream, int64_t count, int vocab_size);

// A length uniform in [mean (1 - ratio), mean (1 + ratio)], at least 1; `ratio` in [0, 1).
int64_t random_length(uint64_t seed, uint64_t stream, int64_t mean, double ratio);

}  // namespace sluice
