// KvCacheStats: occupancy and hit counters of the KV cache, a value.
#pragma once

#include <cstdint>

namespace sluice {

struct KvCacheStats {
  int64_t blocks_total = 0;
  int64_t blocks_held = 0;          // referenced by at least one table
  int64_t blocks_cached_free = 0;   // free, still findable
  int64_t prefix_query_tokens = 0;  // tokens of admitted sequences looked up, since start
  int64_t prefix_hit_tokens = 0;    // of these, found
};

}  // namespace sluice
