// Detokenizer: tokens of one choice to text, as they come.
//
//   tokens   "a"   "<0xE4>"  "<0xB8>"  "<0xAD>"   "<0xFF>"   finish
//   text     "a"     ""        ""       "中"      U+FFFD      ""
//
// What was handed out is valid UTF-8, never half a code point, and never changes: the text of any
// split of the tokens is the text of the whole. Linear in the bytes; holds back at most 3 of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/text/tokenizer.h"

namespace sluice {

class Detokenizer {
 public:
  // `tokenizer` must outlive this. skip_control: control tokens have no text, else their spelling.
  // at_start: no text precedes, so the leading space that the tokenizer puts before a text is
  // dropped. shown: control tokens that have text all the same.
  Detokenizer(const Tokenizer& tokenizer, bool skip_control, bool at_start,
              std::vector<TokenId> shown = {})
      : tokenizer_(&tokenizer),
        skip_control_(skip_control),
        drop_space_(at_start && tokenizer.adds_leading_space()),
        shown_(std::move(shown)) {}

  // Appends the text that `id` makes certain. Ids past the tokenizer's vocabulary have none: models
  // pad theirs.
  void push(TokenId id, std::string& text);
  // Appends U+FFFD for a code point that was begun and not completed.
  void finish(std::string& text);

 private:
  const Tokenizer* tokenizer_;
  bool skip_control_;
  bool drop_space_;  // the next byte, if it is a space, is not part of the text
  std::vector<TokenId> shown_;
  std::string pending_;  // the begun code point
};

// The text of `ids` as a whole. skip_control as above.
std::string decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool skip_control);

}  // namespace sluice
