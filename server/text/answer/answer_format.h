// AnswerFormat: how one model marks reasoning and calls, and which of its tokens do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/text/answer/answer_syntax.h"
#include "server/text/tokenizer.h"

namespace sluice {

// Names of syntaxes, "auto" (what the chat template shows) or "none".
struct AnswerFormatOptions {
  std::string calls = "none";
  std::string reasoning = "none";
  bool auto_calls = true;  // else only calls that a request forces are looked for
};

struct AnswerFormat {
  const CallSyntax* calls = nullptr;           // null: calls stay text
  const ReasoningSyntax* reasoning = nullptr;  // null: reasoning stays text
  bool auto_calls = true;                      // as in the options
  // Markers that are control tokens, which have text where they are looked for.
  std::vector<TokenId> call_tokens, reasoning_tokens;
};

// `chat_template`: its source, or empty. The options' names are known.
AnswerFormat make_answer_format(const AnswerFormatOptions& options, std::string_view chat_template,
                                const Tokenizer& tokenizer);

}  // namespace sluice
