// The ordered blocks of one sequence: blocks[i] holds its tokens [64 i, 64 i + 64), or is kNoBlock
// where they were dropped.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace sluice {

// A value that names blocks and does not count references: KvCacheManager does, so a table is
// filled, grown and emptied only through it. Copying one duplicates no reference; destroying one
// releases none.
struct BlockTable {
  std::vector<BlockId> blocks;
  // KvCacheManager's own: leading blocks whose content is in the prefix cache, under this table's
  // block or an equal one, and the prefix number (prefix_cache.h) of the last of them.
  int num_published = 0;
  uint64_t last_prefix = 0;
  int num_dropped = 0;  // leading blocks that were given back and are kNoBlock here

  int64_t capacity_tokens() const { return static_cast<int64_t>(blocks.size()) * kBlockTokens; }
};

}  // namespace sluice
