// KvCacheManager: the verbs of memory, in tokens. It never names a request.
//
//   match_prefix   fills an empty table with cached blocks that hold a prefix of `tokens`
//   reserve        grows a table to hold n tokens, all or nothing
//   publish        makes a table's full, computed blocks findable by their content
//   drop_before    gives back the leading blocks that nobody reads any more: windows
//   fork           lets an empty table share another one's full blocks
//   release        gives a table's blocks back; published ones stay findable until reused
//
// A block is free (in nobody's table) or held (reference count >= 1). Free blocks that carry a hash
// are reused last, least recently used first. Engine thread only.
#pragma once

#include <cstdint>
#include <span>

#include "kvcache/block_pool.h"
#include "kvcache/block_table.h"
#include "kvcache/kv_cache_stats.h"
#include "kvcache/prefix_cache.h"

namespace sluice {

class KvCacheManager {
 public:
  struct Options {
    int num_blocks = 0;
    bool enable_prefix_caching = true;
  };
  explicit KvCacheManager(const Options& options);

  // Fills the empty `table` with the longest cached run of full blocks that hold a prefix of
  // `tokens`, and never all of them: at least the last token stays to be computed. `salt` separates
  // everything else that the bytes depend on (tenant salt, attention mode, RoPE regime). Hashes
  // only find candidates: tokens are compared. Returns the tokens found; 0 with prefix caching off.
  int64_t match_prefix(std::span<const TokenId> tokens, uint64_t salt, BlockTable& table);

  // Grows `table` to hold num_tokens; true if it holds them now. On false nothing has changed.
  bool reserve(BlockTable& table, int64_t num_tokens);

  // Publishes the full blocks of tokens[0, num_computed), which must be computed and under this
  // salt from the start. If another block with the same content is published already, this one
  // stays private. O(new full blocks).
  void publish(BlockTable& table, std::span<const TokenId> tokens, int64_t num_computed,
               uint64_t salt);

  // Gives back the blocks of the table's first num_tokens tokens that are full and, with prefix
  // caching, published; as with release() these stay findable until reused. The table goes on
  // without them. O(blocks given back).
  void drop_before(BlockTable& table, int64_t num_tokens);

  // Makes the empty `child` share the full blocks of the parent's first num_tokens tokens by
  // reference and returns the tokens shared, a multiple of kBlockTokens. Nobody may write to them
  // any more. Works with prefix caching off. CHECKs that the parent has dropped none.
  int64_t fork(const BlockTable& parent, int64_t num_tokens, BlockTable& child);

  // Empties `table`. Idempotent.
  void release(BlockTable& table);

  // Forgets every published block that nobody holds (POST /reset_prefix_cache, tests).
  void drop_cached();

  int64_t num_free_blocks() const { return pool_.num_free(); }
  int64_t capacity_tokens() const { return int64_t{pool_.num_blocks()} * kBlockTokens; }
  KvCacheStats stats() const;  // less the prefix_* counters, which belong to whoever admits
  // CHECKs that counts, lists and hashes agree, given every table that holds blocks. O(blocks).
  void check_invariants(std::span<const BlockTable* const> all_tables) const;

 private:
  BlockPool pool_;
  PrefixCache prefixes_;
  bool enable_prefix_caching_;
};

}  // namespace sluice
