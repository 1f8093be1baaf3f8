// The way of a prompt through the parts.
#include "server/text/hf/hf_tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "server/text/control_tokens.h"

namespace sluice {
namespace {

// The byte of "<0x0A>", if that is what it is.
std::optional<char> fallback_byte(std::string_view spelling) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
  };
  const bool shaped = spelling.size() == 6 && spelling.starts_with("<0x") && spelling[5] == '>';
  if (!shaped || digit(spelling[3]) < 0 || digit(spelling[4]) < 0) return std::nullopt;
  return static_cast<char>(digit(spelling[3]) * 16 + digit(spelling[4]));
}

std::string bytes_of_spelling(const std::string& spelling, const TokenBytes& rules) {
  if (rules.byte_level) return from_byte_letters(spelling).value_or(spelling);
  std::string text = spelling;
  for (const auto& [from, to] : rules.replacements) text = replace_all(text, from, to);
  if (!rules.byte_fallback) return text;
  const auto byte = fallback_byte(text);
  return byte ? std::string(1, *byte) : text;
}

class HfTokenizer final : public Tokenizer {
 public:
  explicit HfTokenizer(HfTokenizerParts parts)
      : parts_(std::move(parts)), added_(std::move(parts_.added), parts_.normalizer) {
    size_t size = parts_.spellings.size();
    for (const AddedToken& token : added_.all()) {
      size = std::max(size, static_cast<size_t>(token.id) + 1);
    }
    parts_.spellings.resize(size);
    control_.resize(size);
    for (const AddedToken& token : added_.all()) {
      parts_.spellings[static_cast<size_t>(token.id)] = token.content;
      if (!token.special) continue;
      control_[static_cast<size_t>(token.id)] = true;
      controls_.add(token.content, token.id);
    }
    for (size_t id = 0; id < size; ++id) bytes_.push_back(make_bytes(static_cast<TokenId>(id)));
  }

  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<PromptPiece>& pieces) const override {
    const std::vector<Part> parts = cut_raw(pieces);
    std::vector<TokenId> ids;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].id) {
        ids.push_back(*parts[i].id);
      } else {
        encode_text(parts[i].text, i == 0, ids);
      }
    }
    return ids;
  }

  std::string_view bytes_of(TokenId id, bool keep_control) const override {
    return is_control(id) && !keep_control ? std::string_view() : bytes_[static_cast<size_t>(id)];
  }
  bool adds_leading_space() const override { return parts_.token_bytes.drops_leading_space; }
  size_t max_bytes_per_token() const override { return parts_.max_bytes_per_token; }
  int vocab_size() const override { return static_cast<int>(bytes_.size()); }
  std::optional<TokenId> control_id(std::string_view spelling) const override {
    return controls_.find(spelling);
  }
  std::optional<TokenId> control_at(std::string_view text, size_t* length) const override {
    return controls_.at(text, length);
  }
  std::string spelling(TokenId id) const override {
    SLUICE_CHECK(id >= 0 && id < vocab_size());
    return parts_.spellings[static_cast<size_t>(id)];
  }
  bool is_control(TokenId id) const override {
    SLUICE_CHECK(id >= 0 && id < vocab_size());
    return control_[static_cast<size_t>(id)];
  }

 private:
  // Text not yet normalised, or a token.
  struct Part {
    std::string text;
    std::optional<TokenId> id;
  };

  std::string make_bytes(TokenId id) const {
    const std::string& spelling = parts_.spellings[static_cast<size_t>(id)];
    const AddedToken* added = added_.find(id);
    if (added != nullptr && added->special) return spelling;
    const bool normalized = added != nullptr && added->normalized;
    return bytes_of_spelling(normalized ? parts_.normalizer.apply(spelling) : spelling,
                             parts_.token_bytes);
  }

  std::vector<Part> cut_raw(const std::vector<PromptPiece>& pieces) const {
    std::vector<Part> parts;
    std::vector<AddedMatch> matches;
    bool strip = false;  // the control token before takes the white space that follows
    for (const PromptPiece& piece : pieces) {
      if (piece.control) {
        add_control(*piece.control, parts);
        const AddedToken* token = added_.find(*piece.control);
        strip = token != nullptr && token->rstrip;
        continue;
      }
      std::string_view text = piece.text;
      if (strip) text.remove_prefix(leading_spaces(text));
      if (text.empty()) continue;
      strip = false;
      matches.clear();
      added_.cut(text, /*normalized=*/false, matches);
      for (const AddedMatch& match : matches) {
        const std::string_view part =
            text.substr(match.span.begin, match.span.end - match.span.begin);
        parts.push_back({match.id ? std::string() : std::string(part), match.id});
      }
    }
    return parts;
  }

  void add_control(TokenId id, std::vector<Part>& parts) const {
    const AddedToken* token = added_.find(id);
    if (token != nullptr && token->lstrip && !parts.empty() && !parts.back().id) {
      std::string& before = parts.back().text;
      before.resize(before.size() - trailing_spaces(before));
      if (before.empty()) parts.pop_back();
    }
    parts.push_back({"", id});
  }

  void encode_text(std::string_view text, bool at_start, std::vector<TokenId>& ids) const {
    const std::string normalized = parts_.normalizer.apply(text);
    std::vector<AddedMatch> matches;
    added_.cut(normalized, /*normalized=*/true, matches);
    for (const AddedMatch& match : matches) {
      if (match.id) {
        ids.push_back(*match.id);
        continue;
      }
      const Pieces pieces = parts_.pre_tokenizer.apply(
          normalized.substr(match.span.begin, match.span.end - match.span.begin),
          at_start && match.span.begin == 0);
      size_t begin = 0;
      for (const size_t end : pieces.ends) {
        parts_.model->encode(std::string_view(pieces.text).substr(begin, end - begin), ids);
        begin = end;
      }
    }
  }

  HfTokenizerParts parts_;
  AddedTokens added_;
  std::vector<std::string> bytes_;  // [vocab_size]; a control token's spelling
  std::vector<bool> control_;       // [vocab_size]
  ControlTokens controls_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_hf_tokenizer(HfTokenizerParts parts) {
  return std::make_unique<HfTokenizer>(std::move(parts));
}

}  // namespace sluice
