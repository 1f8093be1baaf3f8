// Loads what a model directory says about text.
#include "server/text/model_text.h"

#include <utility>

#include "base/text.h"

namespace sluice {

Result<ModelText> load_model_text(const std::string& dir) {
  Result<TokenizerConfig> config = load_tokenizer_config(dir);
  if (!config.ok()) return config.status();
  ModelText text;
  text.config = std::move(config).value();

  SentencePieceOptions options;
  options.control_tokens = text.config.special_tokens;
  options.add_prefix_space = text.config.add_prefix_space;
  options.prefix_every_piece = text.config.legacy;
  Result<std::unique_ptr<Tokenizer>> tokenizer =
      load_sentencepiece(dir + "/tokenizer.model", options);
  if (!tokenizer.ok()) return tokenizer.status();
  text.tokenizer = std::move(tokenizer).value();

  const auto source = text.config.chat_templates.find(kDefaultTemplate);
  if (source == text.config.chat_templates.end()) {
    text.no_chat_template =
        Status(StatusCode::kUnimplemented,
               str(dir,
                   " has no chat template (chat_template in tokenizer_config.json, or "
                   "chat_template.jinja); use the completions API, which needs none"));
    return text;
  }
  Result<ChatTemplate> compiled = ChatTemplate::compile(source->second);
  if (compiled.ok()) {
    text.chat_template = std::move(compiled).value();
  } else {
    text.no_chat_template = compiled.status();
  }
  return text;
}

}  // namespace sluice
