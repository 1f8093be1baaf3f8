// Loads what a model directory says about text.
#include "server/text/model_text.h"

#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "server/text/gguf_text.h"
#include "server/text/hf/tokenizer_json.h"

namespace sluice {
namespace {

Result<ChatTemplate> compile_template(const TokenizerConfig& config) {
  const auto source = config.chat_templates.find(kDefaultTemplate);
  if (source != config.chat_templates.end()) return ChatTemplate::compile(source->second);
  return Status(StatusCode::kUnimplemented,
                "the model has no chat template (chat_template in tokenizer_config.json, or "
                "chat_template.jinja); use completions, which need none");
}

Result<LoadedTokenizer> load_tokenizer(const std::string& dir, const TokenizerConfig& config) {
  const std::string json = dir + "/tokenizer.json";
  if (std::filesystem::exists(json)) return load_tokenizer_json(json);
  SentencePieceOptions options;
  options.control_tokens = config.special_tokens;
  options.add_prefix_space = config.add_prefix_space;
  options.prefix_every_piece = config.legacy;
  Result<std::unique_ptr<Tokenizer>> loaded = load_sentencepiece(dir + "/tokenizer.model", options);
  if (!loaded.ok()) return loaded.status();
  LoadedTokenizer tokenizer{std::move(loaded).value(), {}, {}};
  if (const auto bos = tokenizer.tokenizer->control_id(config.bos_token)) tokenizer.prefix = {*bos};
  return tokenizer;
}

// What the configuration says about the tokens round a prompt goes before what the tokenizer says.
void apply_config(const std::optional<bool>& wanted, const std::string& spelling,
                  const Tokenizer& tokenizer, std::vector<TokenId>& ids) {
  if (!wanted) return;
  ids.clear();
  const auto id = tokenizer.control_id(spelling);
  if (*wanted && id) ids.push_back(*id);
}

Result<GgufText> load_files(const std::string& path) {
  if (is_gguf_file(path)) return load_gguf_text(path);
  Result<TokenizerConfig> config = load_tokenizer_config(path);
  if (!config.ok()) return config.status();
  Result<LoadedTokenizer> tokenizer = load_tokenizer(path, config.value());
  if (!tokenizer.ok()) return tokenizer.status();
  return GgufText{std::move(tokenizer).value(), std::move(config).value()};
}

}  // namespace

Result<ModelText> load_model_text(const std::string& path, const AnswerFormatOptions& answer) {
  Result<GgufText> files = load_files(path);
  if (!files.ok()) return files.status();
  ModelText text;
  text.config = std::move(files->config);
  text.tokenizer = std::move(files->tokenizer.tokenizer);
  text.prompt_prefix = std::move(files->tokenizer.prefix);
  text.prompt_suffix = std::move(files->tokenizer.suffix);
  apply_config(text.config.add_bos_token, text.config.bos_token, *text.tokenizer,
               text.prompt_prefix);
  apply_config(text.config.add_eos_token, text.config.eos_token, *text.tokenizer,
               text.prompt_suffix);

  const auto source = text.config.chat_templates.find(kDefaultTemplate);
  const bool has_template = source != text.config.chat_templates.end();
  text.answer = make_answer_format(
      answer, has_template ? std::string_view(source->second) : std::string_view(),
      *text.tokenizer);
  Result<ChatTemplate> compiled = compile_template(text.config);
  if (compiled.ok()) {
    text.chat_template = std::move(compiled).value();
  } else {
    text.no_chat_template = compiled.status();
    log_warning(str(path, ": chat requests will be refused: ", compiled.status().message()));
  }
  return text;
}

}  // namespace sluice
