// Byte-pair encoding: of the pairs of neighbours the one of the lowest rank, leftmost first,
// becomes one symbol, until no pair has a rank. (Sennrich et al., arXiv:1508.07909.)
#include <algorithm>
#include <cstdint>
#include <queue>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "server/text/hf/subword_model.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr size_t kShortPiece = 24;  // symbols; below, looking at all pairs beats a heap
constexpr uint32_t kNoRank = UINT32_MAX;
constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581

// (left, right) -> (rank, merged token), in open addressing.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNoRank;
    TokenId token = -1;
  };

  explicit MergeTable(size_t num_merges) {
    size_t size = 16;
    while (size < num_merges * 2) size *= 2;
    slots_.resize(size);
  }
  void set(TokenId left, TokenId right, Merge merge) {
    slots_[slot_of(key(left, right))] = {key(left, right), merge};
  }
  Merge find(TokenId left, TokenId right) const {
    return slots_[slot_of(key(left, right))].merge;  // a free slot's has no rank
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  static uint64_t key(TokenId left, TokenId right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t wanted) const {
    const uint64_t hash = wanted * 0x9E3779B97F4A7C15U;
    size_t at = (hash ^ (hash >> 32)) & (slots_.size() - 1);
    while (slots_[at].merge.rank != kNoRank && slots_[at].key != wanted) {
      at = (at + 1) & (slots_.size() - 1);
    }
    return at;
  }
  std::vector<Slot> slots_;
};

class Bpe final : public SubwordModel {
 public:
  Bpe(Vocabulary vocabulary, const BpeOptions& options)
      : vocabulary_(std::move(vocabulary)), options_(options), merges_(options.merges.size()) {}

  Status load() {
    vocabulary_.index();
    for (size_t rank = 0; rank < options_.merges.size(); ++rank) {
      const auto [left, right] = options_.merges[rank];
      const std::string merged = text_of(left) + text_of(right);
      const auto token = vocabulary_.find(merged);
      if (!token) return invalid_argument(str("merge ", rank, " makes a token that is not there"));
      crosses_words_ = crosses_words_ || crosses_words(merged);
      merges_.set(left, right, {static_cast<uint32_t>(rank), *token});
    }
    options_.merges = {};
    if (options_.byte_fallback) bytes_ = vocabulary_.byte_tokens();
    crosses_words_ = crosses_words_ || options_.bytes || options_.ignore_merges ||
                     !vocabulary_.find(kSpaceSymbol);
    find_whole_tokens();
    return {};
  }

  void encode(std::string_view piece, std::vector<TokenId>& ids) const override {
    if (crosses_words_) return encode_word(piece, ids);
    // No token holds a border between another character and U+2581, so no merge crosses one.
    size_t begin = 0;
    for (size_t at = piece.find(kSpaceSymbol); at != std::string_view::npos;
         at = piece.find(kSpaceSymbol, at + kSpaceSymbol.size())) {
      if (at == begin || piece.substr(0, at).ends_with(kSpaceSymbol)) continue;
      encode_word(piece.substr(begin, at - begin), ids);
      begin = at;
    }
    encode_word(piece.substr(begin), ids);
  }

 private:
  const std::string& text_of(TokenId id) const {
    return vocabulary_.texts[static_cast<size_t>(id)];
  }

  static bool crosses_words(std::string_view merged) {
    size_t at = 0;
    while (merged.substr(at).starts_with(kSpaceSymbol)) at += kSpaceSymbol.size();
    return merged.find(kSpaceSymbol, at) != std::string_view::npos;
  }

  // A token whose text becomes that token is found without merging: most words of a language.
  void find_whole_tokens() {
    whole_.assign(vocabulary_.texts.size(), false);
    std::vector<TokenId> ids;
    for (const auto& [text, id] : vocabulary_.ids) {
      ids.clear();
      if (!options_.bytes && find_invalid_utf8(text)) continue;
      merge(text, ids);
      whole_[static_cast<size_t>(id)] = options_.ignore_merges || (ids.size() == 1 && ids[0] == id);
    }
  }

  void encode_word(std::string_view piece, std::vector<TokenId>& ids) const {
    const auto token = vocabulary_.find(piece);
    if (token && whole_[static_cast<size_t>(*token)]) return ids.push_back(*token);
    merge(piece, ids);
  }

  void merge(std::string_view piece, std::vector<TokenId>& ids) const {
    const size_t first = ids.size();
    append_symbols(piece, ids);
    if (ids.size() - first <= kShortPiece) return merge_short(ids, first);
    merge_long(ids, first);
  }

  void append_symbols(std::string_view piece, std::vector<TokenId>& ids) const {
    bool unknown = false;  // one is due
    for (size_t at = 0, size = 1; at < piece.size(); at += size) {
      size = options_.bytes ? 1 : utf8_step(piece.substr(at)).length;
      const std::string_view symbol = piece.substr(at, size);
      if (const auto id = vocabulary_.find(symbol)) {
        if (std::exchange(unknown, false)) ids.push_back(*options_.unknown);
        ids.push_back(*id);
      } else if (!bytes_.empty()) {
        for (const char byte : symbol) ids.push_back(bytes_[static_cast<uint8_t>(byte)]);
      } else if (options_.unknown) {
        if (unknown && !options_.fuse_unknown) ids.push_back(*options_.unknown);
        unknown = true;
      }
    }
    if (unknown) ids.push_back(*options_.unknown);
  }

  void merge_short(std::vector<TokenId>& ids, size_t first) const {
    while (true) {
      MergeTable::Merge best;
      size_t best_at = 0;
      for (size_t i = first; i + 1 < ids.size(); ++i) {
        const MergeTable::Merge merge = merges_.find(ids[i], ids[i + 1]);
        if (merge.rank < best.rank) best = merge, best_at = i;
      }
      if (best.rank == kNoRank) return;
      ids[best_at] = best.token;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
    }
  }

  // A heap of the pairs that can merge, over a list of the symbols.
  void merge_long(std::vector<TokenId>& ids, size_t first) const {
    struct Symbol {
      TokenId token;  // -1: merged into the symbol before it
      int32_t previous, next;
    };
    struct Pair {
      uint32_t rank;
      int32_t left;
      TokenId merged;
      bool operator>(const Pair& other) const {
        return std::pair(rank, left) > std::pair(other.rank, other.left);
      }
    };
    const auto count = static_cast<int32_t>(ids.size() - first);
    std::vector<Symbol> symbols(static_cast<size_t>(count));
    std::priority_queue<Pair, std::vector<Pair>, std::greater<>> pairs;
    const auto push = [&](int32_t left, int32_t right) {
      if (left < 0 || right == count) return;
      const auto found = merges_.find(symbols[left].token, symbols[right].token);
      if (found.rank != kNoRank) pairs.push({found.rank, left, found.token});
    };
    for (int32_t i = 0; i < count; ++i) symbols[i] = {ids[first + i], i - 1, i + 1};
    for (int32_t i = 0; i + 1 < count; ++i) push(i, i + 1);

    while (!pairs.empty()) {
      const Pair top = pairs.top();
      pairs.pop();
      Symbol& left = symbols[top.left];
      if (left.token < 0 || left.next == count) continue;
      Symbol& right = symbols[left.next];
      // Not the pair that was pushed: one of the two has grown since.
      if (merges_.find(left.token, right.token).token != top.merged) continue;
      left.token = top.merged;
      right.token = -1;
      left.next = right.next;
      if (left.next < count) symbols[left.next].previous = top.left;
      push(left.previous, top.left);
      push(top.left, left.next);
    }
    ids.resize(first);
    for (const Symbol& symbol : symbols) {
      if (symbol.token >= 0) ids.push_back(symbol.token);
    }
  }

  Vocabulary vocabulary_;
  BpeOptions options_;
  MergeTable merges_;
  std::vector<TokenId> bytes_;  // by byte; empty: no fallback
  bool crosses_words_ = false;  // a piece may not be cut before U+2581
  std::vector<bool> whole_;     // by token: its text is encoded as this token
};

}  // namespace

Result<std::unique_ptr<SubwordModel>> make_bpe(Vocabulary vocabulary, BpeOptions options) {
  auto model = std::make_unique<Bpe>(std::move(vocabulary), std::move(options));
  SLUICE_RETURN_IF_ERROR(model->load());
  return std::unique_ptr<SubwordModel>(std::move(model));
}

}  // namespace sluice
