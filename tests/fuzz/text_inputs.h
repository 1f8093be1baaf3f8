// The body of the fuzz target for text: what models and strangers make the server read or write.
#pragma once

#include <cstddef>
#include <span>

namespace sluice {

// The first byte chooses; anything else is ignored. Aborts when a property does not hold.
//   'd'  detokenizer and stop strings: stops separated by \1, then \0, then the text of the tokens,
//        separated by \1; any bytes
//   'a'  an answer of a model: a byte that chooses the parsers, then its pieces, separated by \1
//   'j'  a chat template, then \0, then a message's content
//   'm'  a tokenizer.model, which then encodes and decodes
//   't'  a tokenizer.json, then \0, then a text, which is encoded and decoded
//   'c'  a tokenizer_config.json
void read_text_input(std::span<const std::byte> input);

}  // namespace sluice
