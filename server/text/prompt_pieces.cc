// Cutting trusted text at control tokens.
#include "server/text/prompt_pieces.h"

namespace sluice {

void append_plain(std::string_view text, std::vector<PromptPiece>& pieces) {
  if (text.empty()) return;
  if (pieces.empty() || pieces.back().control) pieces.emplace_back();
  pieces.back().text += text;
}

void append_trusted(std::string_view text, const Tokenizer& tokenizer,
                    std::vector<PromptPiece>& pieces) {
  size_t plain = 0;  // bytes of `text` that begin no control token
  while (plain < text.size()) {
    size_t length = 0;
    const auto id = tokenizer.control_at(text.substr(plain), &length);
    if (!id) {
      ++plain;
      continue;
    }
    append_plain(text.substr(0, plain), pieces);
    pieces.push_back({"", id});
    text.remove_prefix(plain + length);
    plain = 0;
  }
  append_plain(text, pieces);
}

}  // namespace sluice
