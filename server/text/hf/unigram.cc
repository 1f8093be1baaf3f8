// The unigram model: of all ways to cut a piece into tokens the one with the highest sum of scores,
// by Viterbi's algorithm. (Kudo, arXiv:1804.10959.)
#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"
#include "server/text/hf/subword_model.h"
#include "server/text/hf/token_trie.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score, as in SentencePiece

class Unigram final : public SubwordModel {
 public:
  Unigram(Vocabulary vocabulary, UnigramOptions options)
      : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
    vocabulary_.index();
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t id = 0; id < vocabulary_.texts.size(); ++id) {
      if (vocabulary_.texts[id].empty()) continue;
      trie_.add(vocabulary_.texts[id], static_cast<TokenId>(id));
      lowest = std::min(lowest, options_.scores[id]);
    }
    unknown_score_ = lowest - kUnknownPenalty;
    if (options_.byte_fallback) bytes_ = vocabulary_.byte_tokens();
  }

  bool has_bytes() const { return !bytes_.empty(); }

  void encode(std::string_view piece, std::vector<TokenId>& ids) const override {
    const std::vector<Node> best = best_ways(piece);
    std::vector<std::string_view> texts;  // last first
    bool last_unknown = false;
    for (size_t end = piece.size(); end > 0; end = best[end].begin) {
      const std::string_view text = piece.substr(best[end].begin, end - best[end].begin);
      const bool unknown = best[end].id == kUnknown || best[end].id == options_.unknown;
      if (unknown && last_unknown) {  // neighbouring unknown characters are one token
        texts.back() = {text.data(), text.size() + texts.back().size()};
      } else {
        texts.push_back(text);
      }
      last_unknown = unknown;
    }
    for (auto text = texts.rbegin(); text != texts.rend(); ++text) append(*text, ids);
  }

 private:
  static constexpr TokenId kUnknown = -1;
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

  // The best way to cut the text up to some byte: where its last token begins.
  struct Node {
    double score = 0;
    size_t begin = kNowhere;
    TokenId id = kUnknown;
  };

  std::vector<Node> best_ways(std::string_view piece) const {
    std::vector<Node> nodes(piece.size() + 1);
    const auto offer = [&](size_t begin, size_t end, double token_score, TokenId id) {
      const double score = nodes[begin].score + token_score;
      if (nodes[end].begin == kNowhere || score > nodes[end].score) nodes[end] = {score, begin, id};
    };
    for (size_t at = 0; at < piece.size();) {
      const size_t one = utf8_step(piece.substr(at)).length;
      bool has_single = false;
      trie_.for_each_prefix(piece.substr(at), [&](TokenId id, size_t length) {
        offer(at, at + length, options_.scores[static_cast<size_t>(id)], id);
        has_single = has_single || length == one;
      });
      if (!has_single) offer(at, at + one, unknown_score_, kUnknown);
      at += one;
    }
    return nodes;
  }

  void append(std::string_view text, std::vector<TokenId>& ids) const {
    if (const auto id = vocabulary_.find(text)) return ids.push_back(*id);
    if (bytes_.empty()) return ids.push_back(*options_.unknown);
    for (const char byte : text) ids.push_back(bytes_[static_cast<uint8_t>(byte)]);
  }

  Vocabulary vocabulary_;
  UnigramOptions options_;
  TokenTrie trie_;
  double unknown_score_ = 0;
  std::vector<TokenId> bytes_;  // by byte; empty: no fallback
};

}  // namespace

Result<std::unique_ptr<SubwordModel>> make_unigram(Vocabulary vocabulary, UnigramOptions options) {
  const bool has_unknown = options.unknown.has_value();
  auto model = std::make_unique<Unigram>(std::move(vocabulary), std::move(options));
  if (!has_unknown && !model->has_bytes()) {
    return invalid_argument("has neither an unknown token (unk_id) nor a token for each byte");
  }
  return std::unique_ptr<SubwordModel>(std::move(model));
}

}  // namespace sluice
