// Detokenizer: the bytes of tokens, cut at the borders of code points.
#include "server/text/detokenizer.h"

#include <algorithm>

#include "server/text/utf8.h"

namespace sluice {

void Detokenizer::push(TokenId id, std::string& text) {
  if (id >= tokenizer_->vocab_size()) return;
  const bool shown = std::find(shown_.begin(), shown_.end(), id) != shown_.end();
  std::string_view bytes = tokenizer_->bytes_of(id, !skip_control_ || shown);
  if (bytes.empty()) return;
  if (drop_space_) {
    drop_space_ = false;
    if (!tokenizer_->is_control(id) && bytes.front() == ' ') bytes.remove_prefix(1);
  }
  pending_ += bytes;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Utf8Step step = utf8_step(rest);
    if (step.kind == Utf8Step::Kind::kIncomplete) break;
    text +=
        step.kind == Utf8Step::Kind::kValid ? rest.substr(0, step.length) : kReplacementCharacter;
    rest.remove_prefix(step.length);
  }
  pending_.erase(0, pending_.size() - rest.size());
}

void Detokenizer::finish(std::string& text) {
  if (!pending_.empty()) text += kReplacementCharacter;
  pending_.clear();
}

std::string decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool skip_control) {
  Detokenizer detokenizer(tokenizer, skip_control, true);
  std::string text;
  for (const TokenId id : ids) detokenizer.push(id, text);
  detokenizer.finish(text);
  return text;
}

}  // namespace sluice
