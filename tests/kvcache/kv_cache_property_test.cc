// KvCacheManager against a naive model: random verbs, the same answers, invariants after each.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "base/text.h"
#include "kvcache/kv_cache_manager.h"

namespace sluice {
namespace {

using Tokens = std::vector<TokenId>;

// The same rules without any structure: whole prefixes are stored and compared, lists are searched.
class NaiveCache {
 public:
  explicit NaiveCache(int num_blocks) : holders_(static_cast<size_t>(num_blocks), 0) {
    for (BlockId block = 0; block < num_blocks; ++block) plain_.push_back(block);
  }

  struct Entry {
    BlockId block;
    int id, parent;
    uint64_t salt;
    Tokens prefix;
  };
  struct Table {
    std::vector<BlockId> blocks;
    int num_published = 0;
    int last = 0;
    int num_dropped = 0;
  };

  void match(const Tokens& tokens, uint64_t salt, Table& table) {
    for (size_t end = kBlockTokens; end < tokens.size(); end += kBlockTokens) {
      const Entry* entry = find(
          Tokens(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(end)), salt, table.last);
      if (entry == nullptr) return;
      hold(entry->block);
      table.blocks.push_back(entry->block);
      table.last = entry->id;
      ++table.num_published;
    }
  }

  bool reserve(Table& table, int64_t num_tokens) {
    const int64_t missing =
        ceil_div(num_tokens, kBlockTokens) - static_cast<int64_t>(table.blocks.size());
    if (missing > num_free()) return false;
    for (int64_t i = 0; i < missing; ++i) {
      std::vector<BlockId>& source = plain_.empty() ? cached_ : plain_;
      const BlockId block = source.front();
      source.erase(source.begin());
      std::erase_if(entries_, [&](const Entry& entry) { return entry.block == block; });
      holders_[static_cast<size_t>(block)] = 1;
      table.blocks.push_back(block);
    }
    return true;
  }

  void publish(Table& table, const Tokens& tokens, int64_t num_computed, uint64_t salt) {
    for (int i = table.num_published; i < num_computed / kBlockTokens; ++i) {
      const Tokens prefix(tokens.begin(), tokens.begin() + (i + 1) * kBlockTokens);
      const BlockId own = table.blocks[static_cast<size_t>(i)];
      const Entry* known = of_block(own);
      if (known == nullptr) known = find(prefix, salt, table.last);
      if (known == nullptr) {
        entries_.push_back({own, ++last_id_, table.last, salt, prefix});
        known = &entries_.back();
      }
      table.last = known->id;
      ++table.num_published;
    }
  }

  void fork(const Table& parent, int64_t num_tokens, Table& child) {
    child.blocks.assign(parent.blocks.begin(), parent.blocks.begin() + num_tokens / kBlockTokens);
    for (const BlockId block : child.blocks) hold(block);
  }

  void drop(Table& table, int64_t num_tokens) {
    const auto end = std::min(static_cast<int>(num_tokens / kBlockTokens), table.num_published);
    for (; table.num_dropped < end; ++table.num_dropped) {
      BlockId& block = table.blocks[static_cast<size_t>(table.num_dropped)];
      let_go(block);
      block = kNoBlock;
    }
  }

  void release(Table& table) {
    for (auto block = table.blocks.rbegin(); block != table.blocks.rend(); ++block)
      if (*block != kNoBlock) let_go(*block);
    table = {};
  }

  int64_t num_free() const { return static_cast<int64_t>(plain_.size() + cached_.size()); }
  int64_t num_cached() const { return static_cast<int64_t>(cached_.size()); }

 private:
  void let_go(BlockId block) {
    if (--holders_[static_cast<size_t>(block)] > 0) return;
    if (of_block(block) != nullptr) {
      cached_.push_back(block);
    } else {
      plain_.insert(plain_.begin(), block);
    }
  }
  const Entry* find(const Tokens& prefix, uint64_t salt, int parent) const {
    const auto entry = std::ranges::find_if(entries_, [&](const Entry& candidate) {
      return candidate.prefix == prefix && candidate.salt == salt && candidate.parent == parent;
    });
    return entry == entries_.end() ? nullptr : &*entry;
  }
  const Entry* of_block(BlockId block) const {
    const auto entry = std::ranges::find(entries_, block, &Entry::block);
    return entry == entries_.end() ? nullptr : &*entry;
  }
  void hold(BlockId block) {
    if (holders_[static_cast<size_t>(block)]++ == 0) std::erase(cached_, block);
  }

  std::vector<int> holders_;
  std::vector<BlockId> plain_, cached_;  // free, in the order of reuse
  std::vector<Entry> entries_;
  int last_id_ = 0;
};

// A user of both caches: grows, publishes and forks tables of tokens from few kinds of blocks.
class Players {
 public:
  explicit Players(uint64_t seed)
      : random_(seed),
        num_blocks_(between(3, 24)),
        kv_({.num_blocks = num_blocks_}),
        naive_(num_blocks_) {}

  void play(int moves) {
    for (int move = 0; move < moves; ++move) {
      Player& player = players_[static_cast<size_t>(between(0, kNumPlayers - 1))];
      switch (between(0, 5)) {
        case 0:
          stop(player);
          begin(player);
          break;
        case 1:
          fork(player);
          break;
        case 2:
          stop(player);
          break;
        case 3:
          drop(player);
          break;
        default:
          advance(player);
      }
      compare();
      if (::testing::Test::HasFatalFailure()) return;
    }
    for (Player& player : players_) stop(player);
    compare();
    EXPECT_EQ(kv_.num_free_blocks(), num_blocks_);
  }

 private:
  static constexpr int kNumPlayers = 5;
  struct Player {
    Tokens tokens;
    uint64_t salt = 0;
    int64_t computed = 0;
    BlockTable table;
    NaiveCache::Table naive;
  };

  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  void append(Tokens& tokens, int count) {
    for (int i = 0; i < count; ++i) tokens.insert(tokens.end(), kBlockTokens, between(1, 2));
    tokens.insert(tokens.end(), static_cast<size_t>(between(0, 70)), 1);
  }

  void begin(Player& player) {
    player.tokens.clear();
    append(player.tokens, between(0, 4));
    player.salt = static_cast<uint64_t>(between(0, 1));
    player.computed = kv_.match_prefix(player.tokens, player.salt, player.table);
    naive_.match(player.tokens, player.salt, player.naive);
  }

  void advance(Player& player) {
    if (between(0, 3) == 0) append(player.tokens, 1);
    const auto size = static_cast<int64_t>(player.tokens.size());
    const int64_t target = std::min<int64_t>(player.computed + between(1, 150), size);
    const bool fits = kv_.reserve(player.table, target);
    ASSERT_EQ(fits, naive_.reserve(player.naive, target));
    if (!fits) return;
    player.computed = std::max(player.computed, target);
    if (between(0, 3) == 0) return;  // published later
    kv_.publish(player.table, player.tokens, player.computed, player.salt);
    naive_.publish(player.naive, player.tokens, player.computed, player.salt);
  }

  void fork(Player& parent) {
    Player& child = players_[static_cast<size_t>(between(0, kNumPlayers - 1))];
    if (&child == &parent || parent.table.num_dropped > 0) return;
    stop(child);
    child.tokens = parent.tokens;
    child.salt = parent.salt;
    child.computed = kv_.fork(parent.table, parent.computed, child.table);
    naive_.fork(parent.naive, parent.computed, child.naive);
  }

  void drop(Player& player) {
    if (player.computed == 0) return;
    const int64_t before = between(0, static_cast<int>(player.computed));
    kv_.drop_before(player.table, before);
    naive_.drop(player.naive, before);
  }

  void stop(Player& player) {
    kv_.release(player.table);
    naive_.release(player.naive);
    player.tokens.clear();
    player.computed = 0;
  }

  void compare() {
    std::vector<const BlockTable*> tables;
    for (const Player& player : players_) {
      ASSERT_EQ(player.table.blocks, player.naive.blocks);
      ASSERT_EQ(player.table.num_published, player.naive.num_published);
      tables.push_back(&player.table);
    }
    ASSERT_EQ(kv_.num_free_blocks(), naive_.num_free());
    ASSERT_EQ(kv_.stats().blocks_cached_free, naive_.num_cached());
    ASSERT_NO_THROW(kv_.check_invariants(tables));
  }

  std::mt19937_64 random_;
  int num_blocks_;
  KvCacheManager kv_;
  NaiveCache naive_;
  std::array<Player, kNumPlayers> players_;
};

TEST(KvCacheProperty, AgreesWithANaiveModelOnRandomMoves) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(str("seed ", seed));
    Players players(seed);
    players.play(250);
    if (HasFatalFailure() || HasFailure()) return;
  }
}

}  // namespace
}  // namespace sluice
