// The normalizer, pre_tokenizer and decoder of a tokenizer.json, to steps. What is not known is
// refused by its type.
#pragma once

#include "base/status.h"
#include "server/text/hf/hf_tokenizer.h"
#include "server/text/json_value.h"

namespace sluice {

Status add_normalizer(const JsonValue& json, Normalizer& normalizer);

struct PreTokenizerTraits {
  bool byte_level = false;  // the model's symbols are bytes
  bool removes = false;     // some text becomes no token
};
Status add_pre_tokenizer(const JsonValue& json, PreTokenizer& pre_tokenizer,
                         PreTokenizerTraits& traits);

Status add_decoder(const JsonValue& json, TokenBytes& rules);

// Where GPT-2 cuts, which is where ByteLevel cuts. Source: openai/gpt-2, encoder.py.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace sluice
