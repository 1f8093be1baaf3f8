// HfTokenizer: a Tokenizer out of the parts that a tokenizer.json, or a GGUF file, describes.
//
//   pieces -> added tokens -> normalizer -> added tokens -> pre-tokenizer -> model -> ids
//
// Source: huggingface/tokenizers; equal to it id by id (tests/parity).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/text/hf/added_tokens.h"
#include "server/text/hf/normalizer.h"
#include "server/text/hf/pre_tokenizer.h"
#include "server/text/hf/subword_model.h"
#include "server/text/tokenizer.h"

namespace sluice {

// How tokens become bytes again.
struct TokenBytes {
  bool byte_level = false;     // spellings are of GPT-2's alphabet, a letter a byte
  bool byte_fallback = false;  // "<0x0A>" is a byte
  std::vector<std::pair<std::string, std::string>> replacements;  // in the spelling, in order
  bool drops_leading_space = false;                               // of a whole text
};

struct HfTokenizerParts {
  std::vector<std::string> spellings;  // of the model's tokens by id; empty: no such token
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::shared_ptr<const SubwordModel> model;
  TokenBytes token_bytes;
  size_t max_bytes_per_token = 0;  // of text; 0: not known
};

std::unique_ptr<Tokenizer> make_hf_tokenizer(HfTokenizerParts parts);

// GPT-2's alphabet: bytes as letters that can be seen.
std::string to_byte_letters(std::string_view bytes);
// Back; nothing if `letters` has one that stands for no byte.
std::optional<std::string> from_byte_letters(std::string_view letters);

}  // namespace sluice
