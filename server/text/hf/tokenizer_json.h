// tokenizer.json, the file of Hugging Face's tokenizers, to a Tokenizer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/text/tokenizer.h"

namespace sluice {

struct LoadedTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<TokenId> prefix, suffix;  // that the file puts round a plain-text prompt
};

// Loads BPE and Unigram models. Refuses damaged and hostile files, and what is not supported, with
// the reason. The file's truncation and padding are for batches of training and are not read.
Result<LoadedTokenizer> load_tokenizer_json(const std::string& path);
// The same from the file's bytes; `path` names it in messages.
Result<LoadedTokenizer> parse_tokenizer_json(std::string_view bytes, const std::string& path);

}  // namespace sluice
