// Tokenizer and limits of a service.
#include "server/cli/serving.h"

#include <filesystem>
#include <utility>

#include "base/text.h"
#include "engine/model/gguf.h"
#include "server/text/model_text.h"

namespace sluice {
namespace {

// Ids of text must have a row of the embedding each. What names no token needs none: vocabularies
// are padded with such.
Status check_vocabulary(const Tokenizer& tokenizer, int vocab_size) {
  for (TokenId id = vocab_size; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.spelling(id).empty()) continue;
    return invalid_argument(str("the tokenizer has a token ", id, " and the model embeds ",
                                vocab_size, " tokens (vocab_size): they do not belong together"),
                            "tokenizer");
  }
  return {};
}

}  // namespace

Result<ServedModel> served_model(const EngineAssembly& parts, const ServerConfig& config) {
  if (!std::filesystem::is_directory(parts.tokenizer_path) && !is_gguf_file(parts.tokenizer_path)) {
    return invalid_argument(
        str(parts.tokenizer_path,
            " is neither a directory with a tokenizer nor a GGUF file; name one with --tokenizer"),
        "tokenizer");
  }
  Result<ModelText> text =
      load_model_text(parts.tokenizer_path, {.calls = config.tool_call_parser,
                                             .reasoning = config.reasoning_parser,
                                             .auto_calls = config.enable_auto_tool_choice});
  if (!text.ok()) return text.status();
  SLUICE_RETURN_IF_ERROR(check_vocabulary(*text->tokenizer, parts.model_config.vocab_size));
  return ServedModel{.engine = parts.engine.get(),
                     .text = std::make_shared<ModelText>(std::move(text).value()),
                     .vocab_size = parts.model_config.vocab_size,
                     .max_model_len = parts.engine_config.max_model_len,
                     .eos_ids = parts.model_config.eos_ids,
                     .defaults = parts.model_config.generation};
}

ServiceLimits service_limits(const ServerConfig& config) {
  ServiceLimits limits;
  limits.max_prompt_bytes = static_cast<size_t>(config.max_body_bytes.value);
  limits.max_messages = static_cast<size_t>(config.max_messages);
  limits.max_output_tokens = config.max_output_tokens;
  limits.max_stop = static_cast<size_t>(config.max_stop_strings);
  return limits;
}

}  // namespace sluice
