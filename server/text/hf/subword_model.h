// SubwordModel: one piece of text to tokens. Two kinds: byte-pair merges, and unigram scores.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace sluice {

// Immutable.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the tokens of `piece`: valid UTF-8, or any bytes for a model of bytes. O(n log n).
  virtual void encode(std::string_view piece, std::vector<TokenId>& ids) const = 0;
};

// Texts of tokens by id; an id without a token has an empty text.
struct Vocabulary {
  std::vector<std::string> texts;
  std::unordered_map<std::string_view, TokenId> ids;  // views into `texts`, which then stays

  // Fills `ids`; of equal texts the last one counts.
  void index();
  std::optional<TokenId> find(std::string_view text) const;
  // Ids of "<0x00>" ... "<0xFF>"; empty unless all are there.
  std::vector<TokenId> byte_tokens() const;
};

struct BpeOptions {
  struct Merge {
    TokenId left, right;
  };
  // By rank. The token of a merge is the one whose text is the two texts in one.
  std::vector<Merge> merges;
  bool bytes = false;              // symbols are bytes; else code points
  std::optional<TokenId> unknown;  // absent: symbols that are no token vanish
  bool fuse_unknown = false;
  bool byte_fallback = false;  // an unknown code point becomes its bytes' tokens
  bool ignore_merges = false;  // a piece that is a token becomes that token
};

// Refuses merges of tokens that do not exist or whose result does not.
Result<std::unique_ptr<SubwordModel>> make_bpe(Vocabulary vocabulary, BpeOptions options);

struct UnigramOptions {
  std::vector<double> scores;  // of each token: log-probabilities
  std::optional<TokenId> unknown;
  bool byte_fallback = false;
};

// Refuses what has neither an unknown token nor all byte tokens.
Result<std::unique_ptr<SubwordModel>> make_unigram(Vocabulary vocabulary, UnigramOptions options);

}  // namespace sluice
