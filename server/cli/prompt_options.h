// PromptOptions: what `generate` and `client` ask in the same words.
#pragma once

#include <cstdint>
#include <string>

#include "server/options.h"

namespace sluice {

struct PromptOptions {
  std::string prompt;
  int64_t max_tokens = 0;   // 0: what fits
  double temperature = -1;  // -1: as the model recommends

  // Adds prompt (described by `help`), max-tokens and temperature to `group`, which outlives `set`.
  void add_to(OptionSet& set, const char* group, bool positional, const std::string& help);
  // The prompt, or all of standard input where it is "-".
  std::string text() const;
};

}  // namespace sluice
