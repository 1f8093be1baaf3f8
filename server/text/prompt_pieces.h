// Text to prompt pieces: where control tokens may be found, and where not.
#pragma once

#include <string_view>
#include <vector>

#include "server/text/tokenizer.h"

namespace sluice {

// Appends what a user wrote: plain text, joined to plain text before it, so that neighbours are
// tokenised as one.
void append_plain(std::string_view text, std::vector<PromptPiece>& pieces);

// Appends what we or a template wrote: spellings of control tokens are control tokens.
void append_trusted(std::string_view text, const Tokenizer& tokenizer,
                    std::vector<PromptPiece>& pieces);

}  // namespace sluice
