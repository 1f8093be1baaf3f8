// TokenizerConfig: what tokenizer_config.json says, as far as a server needs it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace sluice {

inline constexpr const char* kDefaultTemplate = "default";

// A file that says nothing leaves a default; those of `legacy` and, beside a tokenizer.model, of
// add_bos_token (true) and add_eos_token (false) are Hugging Face's LlamaTokenizer's.
struct TokenizerConfig {
  std::string bos_token, eos_token, unk_token;  // spellings; empty: not named
  std::optional<bool> add_bos_token;            // in front of a plain-text prompt
  std::optional<bool> add_eos_token;            // behind it
  std::optional<bool> add_prefix_space;
  bool legacy = true;                                 // SentencePieceOptions::prefix_every_piece
  std::vector<std::string> special_tokens;            // every spelling that the file calls special
  std::map<std::string, std::string> chat_templates;  // by name; the usual one is kDefaultTemplate
};

// Reads `json`; `path` names it in messages.
Result<TokenizerConfig> parse_tokenizer_config(std::string_view json, const std::string& path);

// Reads DIR/tokenizer_config.json, and DIR/chat_template.jinja, which then is the default template.
// Neither file must exist.
Result<TokenizerConfig> load_tokenizer_config(const std::string& dir);

}  // namespace sluice
