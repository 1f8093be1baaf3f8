// Grammar: which token may come next in an answer that has to have a form. The engine's view of it:
// it never sees text; what the form is, and how tokens spell it, server/grammar knows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/sampling_batch.h"

namespace sluice {

// The way of one answer through its grammar. One thread at a time.
class GrammarWalk {
 public:
  virtual ~GrammarWalk() = default;

  // The answer's next token. False: it may not stand here, and the walk stays where it was.
  virtual bool accept(TokenId token) = 0;
  // Sets the bits of the tokens that may come next and clears all others; `mask` has mask_words()
  // of the grammar's vocabulary. Tokens without text (control tokens) are never among them.
  virtual void fill(std::span<uint32_t> mask) = 0;
  // The answer may end here.
  virtual bool complete() const = 0;
};

// A compiled grammar over one vocabulary: immutable, shared by requests and threads.
class Grammar {
 public:
  virtual ~Grammar() = default;
  virtual std::unique_ptr<GrammarWalk> walk() const = 0;  // from the beginning
};

}  // namespace sluice
