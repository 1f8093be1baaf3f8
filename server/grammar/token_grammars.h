// TokenGrammars: grammars over one tokenizer's vocabulary, compiled. XGrammar stays behind it.
#pragma once

#include <cstddef>
#include <memory>

#include "base/status.h"
#include "engine/grammar.h"
#include "server/grammar/grammar_spec.h"
#include "server/text/tokenizer.h"

namespace sluice {

struct CompiledGrammar {
  std::shared_ptr<const Grammar> grammar;
  size_t bytes = 0;  // of memory that it holds, about
};

class TokenGrammars {
 public:
  // `vocab_size`: the model's, which masks are as wide as. A token is the bytes that it adds to a
  // text; control tokens and ids without a token have none, and are never allowed. Copies what it
  // needs of `tokenizer`. `cache_bytes`: for parts that grammars share. Takes about 50 ms.
  TokenGrammars(const Tokenizer& tokenizer, int vocab_size, size_t cache_bytes);
  ~TokenGrammars();

  // Any thread; up to seconds, and cannot be interrupted: check_grammar_spec() refuses first what
  // would take longer. kInvalidArgument, in our own words, for what does not parse.
  Result<CompiledGrammar> compile(const GrammarSpec& spec) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
