// KvCacheManager: the verbs, on top of BlockPool (who holds what) and PrefixCache (what is where).
//
// A block is cached in the pool exactly when it is in the prefix cache; both are changed together.
#include "kvcache/kv_cache_manager.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

PrefixCache::BlockTokens block_tokens(std::span<const TokenId> tokens, int64_t block_index) {
  const auto first = static_cast<size_t>(block_index * kBlockTokens);
  return tokens.subspan(first).first<kBlockTokens>();
}

std::span<const BlockId> held_blocks(const BlockTable& table) {
  return std::span(table.blocks).subspan(static_cast<size_t>(table.num_dropped));
}

}  // namespace

KvCacheManager::KvCacheManager(const Options& options)
    : pool_(options.num_blocks),
      prefixes_(options.num_blocks),
      enable_prefix_caching_(options.enable_prefix_caching) {}

int64_t KvCacheManager::match_prefix(std::span<const TokenId> tokens, uint64_t salt,
                                     BlockTable& table) {
  SLUICE_CHECK(table.blocks.empty());
  if (!enable_prefix_caching_) return 0;
  const int64_t full_blocks = (static_cast<int64_t>(tokens.size()) - 1) / kBlockTokens;
  for (int64_t i = 0; i < full_blocks; ++i) {
    const BlockId block = prefixes_.find(table.last_prefix, salt, block_tokens(tokens, i));
    if (block == kNoBlock) break;
    pool_.hold(block);
    table.blocks.push_back(block);
    table.last_prefix = prefixes_.number(block);
    ++table.num_published;
  }
  return table.capacity_tokens();
}

bool KvCacheManager::reserve(BlockTable& table, int64_t num_tokens) {
  const int64_t missing =
      ceil_div(num_tokens, kBlockTokens) - static_cast<int64_t>(table.blocks.size());
  if (missing > pool_.num_free()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    const BlockId block = pool_.take();
    if (prefixes_.contains(block)) prefixes_.erase(block);
    table.blocks.push_back(block);
  }
  return true;
}

void KvCacheManager::publish(BlockTable& table, std::span<const TokenId> tokens,
                             int64_t num_computed, uint64_t salt) {
  SLUICE_CHECK_LE(num_computed, static_cast<int64_t>(tokens.size()));
  SLUICE_CHECK_LE(num_computed, table.capacity_tokens());
  if (!enable_prefix_caching_) return;
  for (int64_t i = table.num_published; i < num_computed / kBlockTokens; ++i) {
    const BlockId own = table.blocks[static_cast<size_t>(i)];
    const PrefixCache::BlockTokens content = block_tokens(tokens, i);
    if (prefixes_.contains(own)) {  // published through another table that shares it
      SLUICE_CHECK(prefixes_.holds_tokens(own, content));
      table.last_prefix = prefixes_.number(own);
    } else if (const BlockId twin = prefixes_.find(table.last_prefix, salt, content);
               twin != kNoBlock) {
      table.last_prefix = prefixes_.number(twin);
    } else {
      table.last_prefix = prefixes_.insert(own, table.last_prefix, salt, content);
      pool_.set_cached(own, true);
    }
    ++table.num_published;
  }
}

void KvCacheManager::drop_before(BlockTable& table, int64_t num_tokens) {
  SLUICE_CHECK_LE(num_tokens, table.capacity_tokens());
  auto end = static_cast<int>(num_tokens / kBlockTokens);
  // What is not published yet would leave its successors without a parent.
  if (enable_prefix_caching_) end = std::min(end, table.num_published);
  for (; table.num_dropped < end; ++table.num_dropped)
    pool_.let_go(std::exchange(table.blocks[static_cast<size_t>(table.num_dropped)], kNoBlock));
}

int64_t KvCacheManager::fork(const BlockTable& parent, int64_t num_tokens, BlockTable& child) {
  SLUICE_CHECK(child.blocks.empty());
  SLUICE_CHECK_EQ(parent.num_dropped, 0);
  SLUICE_CHECK_LE(num_tokens, parent.capacity_tokens());
  const auto shared = static_cast<size_t>(num_tokens / kBlockTokens);
  child.blocks.assign(parent.blocks.begin(),
                      parent.blocks.begin() + static_cast<ptrdiff_t>(shared));
  for (const BlockId block : child.blocks) pool_.hold(block);
  // num_published stays 0: the parent's last_prefix may lie past the shared part, so the child's
  // first publish walks its blocks again and finds them all.
  return child.capacity_tokens();
}

void KvCacheManager::release(BlockTable& table) {
  // From the back: the end of a cached prefix is reused before its beginning.
  for (const BlockId block : held_blocks(table) | std::views::reverse) pool_.let_go(block);
  table = {};
}

void KvCacheManager::drop_cached() {
  for (BlockId block = 0; block < pool_.num_blocks(); ++block) {
    if (pool_.references(block) > 0 || !prefixes_.contains(block)) continue;
    prefixes_.erase(block);
    pool_.set_cached(block, false);
  }
}

KvCacheStats KvCacheManager::stats() const {
  KvCacheStats stats;
  stats.blocks_total = pool_.num_blocks();
  stats.blocks_held = pool_.num_blocks() - pool_.num_free();
  stats.blocks_cached_free = pool_.num_cached_free();
  return stats;
}

void KvCacheManager::check_invariants(std::span<const BlockTable* const> all_tables) const {
  pool_.check_invariants();
  prefixes_.check_invariants();
  std::vector<int> holders(static_cast<size_t>(pool_.num_blocks()), 0);
  for (const BlockTable* table : all_tables) {
    SLUICE_CHECK_LE(table->num_published, static_cast<int>(table->blocks.size()));
    for (int i = 0; i < table->num_dropped; ++i)
      SLUICE_CHECK_EQ(table->blocks.at(static_cast<size_t>(i)), kNoBlock);
    for (const BlockId block : held_blocks(*table)) ++holders.at(static_cast<size_t>(block));
  }
  int cached_free = 0;
  for (BlockId block = 0; block < pool_.num_blocks(); ++block) {
    const int references = pool_.references(block);
    SLUICE_CHECK_EQ(references, holders[static_cast<size_t>(block)]);
    cached_free += references == 0 && prefixes_.contains(block) ? 1 : 0;
  }
  SLUICE_CHECK_EQ(cached_free, pool_.num_cached_free());
}

}  // namespace sluice
