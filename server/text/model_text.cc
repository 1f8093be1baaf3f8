// Loads what a model directory says about text.
#include "server/text/model_text.h"

#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace sluice {
namespace {

Result<ChatTemplate> compile_template(const TokenizerConfig& config) {
  const auto source = config.chat_templates.find(kDefaultTemplate);
  if (source != config.chat_templates.end()) return ChatTemplate::compile(source->second);
  return Status(StatusCode::kUnimplemented,
                "the model has no chat template (chat_template in tokenizer_config.json, or "
                "chat_template.jinja); use completions, which need none");
}

}  // namespace

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

  Result<ChatTemplate> compiled = compile_template(text.config);
  if (compiled.ok()) {
    text.chat_template = std::move(compiled).value();
  } else {
    text.no_chat_template = compiled.status();
    log_warning(str(dir, ": chat requests will be refused: ", compiled.status().message()));
  }
  return text;
}

}  // namespace sluice
