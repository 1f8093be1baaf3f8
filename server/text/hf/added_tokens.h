// AddedTokens: tokens that are found in text before any model sees it.
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/types.h"
#include "server/text/hf/normalizer.h"
#include "server/text/hf/token_trie.h"

namespace sluice {

struct AddedToken {
  TokenId id = -1;
  std::string content;
  bool special = false;      // a control token: users cannot write it
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;
  // Looked for after normalising, in its own normalised form. Of a special token this says nothing:
  // it is never looked for in text.
  bool normalized = false;
};

// A stretch of text, or a token found in it (with the white space that it took).
struct AddedMatch {
  Span span;
  std::optional<TokenId> id;
};

// Immutable.
class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  // The token of this id, or null.
  const AddedToken* find(TokenId id) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

  // Cuts `text` at the tokens, not special, that are (normalized) looked for after normalising, or
  // (!normalized) before. Of those that begin at one place the longest counts. A special token that
  // is spelled there stays text and hides what overlaps it. Appends nothing for an empty text.
  void cut(std::string_view text, bool normalized, std::vector<AddedMatch>& parts) const;

 private:
  // Tokens that are looked for at one time.
  struct Finder {
    TokenTrie trie;
    std::bitset<256> first_bytes;
    void add(std::string_view text, TokenId id);
  };

  std::vector<AddedToken> tokens_;
  std::unordered_map<TokenId, size_t> by_id_;
  Finder raw_, normalized_;
};

}  // namespace sluice
