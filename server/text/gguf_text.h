// The text half of a GGUF file: its tokenizer and its chat template.
#pragma once

#include <string>

#include "base/status.h"
#include "engine/model/gguf.h"
#include "server/text/hf/tokenizer_json.h"
#include "server/text/tokenizer_config.h"

namespace sluice {

struct GgufText {
  LoadedTokenizer tokenizer;
  TokenizerConfig config;
};

// Reads the tokenizer of `header`: byte-level BPE ("gpt2") with a pre-tokenizer that is known by
// name, or SentencePiece's BPE ("llama"). `file` names it in messages.
Result<GgufText> read_gguf_text(const GgufHeader& header, const std::string& file);
// The same of the file at `path`.
Result<GgufText> load_gguf_text(const std::string& path);

}  // namespace sluice
