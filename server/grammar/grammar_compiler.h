// GrammarCompiler: forms made into grammars, on threads of its own, within bounds, once each.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/status.h"
#include "engine/grammar.h"
#include "server/grammar/grammar_spec.h"
#include "server/grammar/token_grammars.h"

namespace sluice {

struct GrammarLimits {
  int threads = 2;
  size_t max_waiting = 64;  // calls that wait for a compilation at a time
  std::chrono::milliseconds time_limit{5000};
  size_t max_grammar_bytes = size_t{64} << 20;
  size_t cache_bytes = size_t{256} << 20;  // of grammars that are kept for later calls
};

// Thread-safe. Compilations cannot be interrupted: one past its time goes on for a later caller,
// and one that runs when this is destroyed keeps its thread and all it needs.
class GrammarCompiler {
 public:
  using MakeGrammars = std::function<std::unique_ptr<TokenGrammars>()>;

  // `make` is called once, by a thread of the pool, when the first grammar is asked for.
  GrammarCompiler(MakeGrammars make, const GrammarLimits& limits);
  ~GrammarCompiler();
  GrammarCompiler(const GrammarCompiler&) = delete;
  GrammarCompiler& operator=(const GrammarCompiler&) = delete;

  // The grammar of a form, from the cache or compiled meanwhile; calls for one form share the work.
  // kInvalidArgument for a form that is wrong, not enforced, or takes longer or more memory than
  // allowed; kResourceExhausted when too many calls wait, or the pool did not come to it in time.
  Result<std::shared_ptr<const Grammar>> get(const GrammarSpec& spec);

 private:
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace sluice
