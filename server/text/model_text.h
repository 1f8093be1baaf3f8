// ModelText: the text half of a model directory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/text/answer/answer_format.h"
#include "server/text/chat_template.h"
#include "server/text/tokenizer.h"
#include "server/text/tokenizer_config.h"

namespace sluice {

struct ModelText {
  std::unique_ptr<const Tokenizer> tokenizer;  // never null
  // Tokens round a plain-text prompt. They are no part of it: it begins where its own text begins.
  std::vector<TokenId> prompt_prefix, prompt_suffix;
  TokenizerConfig config;
  std::optional<ChatTemplate> chat_template;  // absent: chat is refused with no_chat_template
  Status no_chat_template;
  AnswerFormat answer;  // of chats
};

// Reads a GGUF file's tokenizer and template; or DIR/tokenizer.json, or where there is none
// DIR/tokenizer.model; and DIR/tokenizer_config.json. A template that is missing or that cannot be
// compiled is no failure: what needs no chat can be served.
Result<ModelText> load_model_text(const std::string& path, const AnswerFormatOptions& answer = {});

}  // namespace sluice
