// FakeTokenizer: a vocabulary that a test spells out. Token i is pieces[i]; the last `num_controls`
// of them are control tokens. Encoding takes the longest piece that fits.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "server/text/tokenizer.h"

namespace sluice {

class FakeTokenizer final : public Tokenizer {
 public:
  FakeTokenizer(std::vector<std::string> pieces, int num_controls, bool leading_space = false)
      : pieces_(std::move(pieces)), num_controls_(num_controls), leading_space_(leading_space) {}

  // One token a byte (id = byte), then `controls`.
  static FakeTokenizer bytes(const std::vector<std::string>& controls) {
    std::vector<std::string> pieces;
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    pieces.insert(pieces.end(), controls.begin(), controls.end());
    return {std::move(pieces), static_cast<int>(controls.size())};
  }

  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<PromptPiece>& pieces) const override {
    std::vector<TokenId> ids;
    for (const PromptPiece& piece : pieces) {
      if (piece.control) {
        ids.push_back(*piece.control);
        continue;
      }
      for (size_t at = 0; at < piece.text.size();) {
        const TokenId id = longest_at(std::string_view(piece.text).substr(at));
        ids.push_back(id);
        at += pieces_[static_cast<size_t>(id)].size();
      }
    }
    return ids;
  }
  std::string_view bytes_of(TokenId id, bool keep_control) const override {
    SLUICE_CHECK(id >= 0 && id < vocab_size());
    return is_control(id) && !keep_control ? std::string_view() : pieces_[static_cast<size_t>(id)];
  }
  bool adds_leading_space() const override { return leading_space_; }
  size_t max_bytes_per_token() const override {
    size_t most = 0;
    for (const std::string& piece : pieces_) most = std::max(most, piece.size());
    return most;
  }
  int vocab_size() const override { return static_cast<int>(pieces_.size()); }
  std::optional<TokenId> control_id(std::string_view spelling) const override {
    for (TokenId id = vocab_size() - num_controls_; id < vocab_size(); ++id) {
      if (pieces_[static_cast<size_t>(id)] == spelling) return id;
    }
    return std::nullopt;
  }
  std::optional<TokenId> control_at(std::string_view text, size_t* length) const override {
    std::optional<TokenId> best;
    *length = 0;
    for (TokenId id = vocab_size() - num_controls_; id < vocab_size(); ++id) {
      const std::string& piece = pieces_[static_cast<size_t>(id)];
      if (text.starts_with(piece) && piece.size() > *length) {
        best = id;
        *length = piece.size();
      }
    }
    return best;
  }
  std::string spelling(TokenId id) const override { return pieces_[static_cast<size_t>(id)]; }
  bool is_control(TokenId id) const override { return id >= vocab_size() - num_controls_; }

 private:
  TokenId longest_at(std::string_view text) const {
    TokenId best = -1;
    size_t length = 0;
    for (TokenId id = 0; id < vocab_size() - num_controls_; ++id) {
      const std::string& piece = pieces_[static_cast<size_t>(id)];
      if (text.starts_with(piece) && piece.size() > length) {
        best = id;
        length = piece.size();
      }
    }
    SLUICE_CHECK(best >= 0);
    return best;
  }

  std::vector<std::string> pieces_;
  int num_controls_;
  bool leading_space_;
};

}  // namespace sluice
