// The ordered blocks of one sequence: blocks()[i] holds its tokens [64 i, 64 i + 64).
#pragma once

#include <vector>

#include "base/types.h"

namespace sluice {

// A value that names blocks and does not count references: KvCacheManager does, so a table is
// filled, grown and emptied only through it. Copying one duplicates no reference; destroying one
// releases none.
struct BlockTable {
  std::vector<BlockId> blocks;
  // Leading blocks whose content is already under their hash in the prefix cache
  // (KvCacheManager::publish).
  int num_published = 0;
  uint64_t last_hash = 0;  // chained hash of the last published block

  int64_t capacity_tokens() const { return static_cast<int64_t>(blocks.size()) * kBlockTokens; }
};

}  // namespace sluice
