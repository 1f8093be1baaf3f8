// Finding added tokens: leftmost, then longest.
#include "server/text/hf/added_tokens.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/check.h"

namespace sluice {

void AddedTokens::Finder::add(std::string_view text, TokenId id) {
  if (text.empty()) return;
  trie.add(text, id);
  first_bytes.set(static_cast<uint8_t>(text[0]));
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer)
    : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    by_id_[token.id] = i;
    if (token.normalized) {
      normalized_.add(normalizer.apply(token.content), token.id);
    } else {
      raw_.add(token.content, token.id);
    }
  }
}

const AddedToken* AddedTokens::find(TokenId id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

void AddedTokens::cut(std::string_view text, bool normalized,
                      std::vector<AddedMatch>& parts) const {
  const Finder& finder = normalized ? normalized_ : raw_;
  size_t plain = 0;  // where the text since the last token begins
  for (size_t at = 0; at < text.size() && !finder.trie.empty();) {
    TokenId id = -1;
    size_t length = 1;
    if (finder.first_bytes.test(static_cast<uint8_t>(text[at]))) {
      finder.trie.for_each_prefix(text.substr(at), [&](TokenId found, size_t size) {
        id = found;
        length = size;
      });
    }
    const size_t begin = std::exchange(at, at + length);
    if (id < 0) continue;
    const AddedToken& token = *find(id);
    const bool touches_word =
        ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(begin + length));
    if (token.special || (token.single_word && touches_word)) continue;
    Span span{begin, begin + length};
    if (token.lstrip) {
      span.begin = std::max(begin - trailing_spaces(text.substr(0, begin)), plain);
    }
    if (token.rstrip) span.end += leading_spaces(text.substr(span.end));
    if (span.begin > plain) parts.push_back({{plain, span.begin}, std::nullopt});
    parts.push_back({span, id});
    plain = span.end;
  }
  if (plain < text.size()) parts.push_back({{plain, text.size()}, std::nullopt});
}

}  // namespace sluice
