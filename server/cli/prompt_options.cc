// The prompt, its length and its temperature.
#include "server/cli/prompt_options.h"

#include <iostream>
#include <iterator>

namespace sluice {

void PromptOptions::add_to(OptionSet& set, const char* group, bool positional,
                           const std::string& help) {
  set.add({.name = "prompt",
           .group = group,
           .target = &prompt,
           .help = help,
           .positional = positional,
           .command_line_only = true});
  set.add({.name = "max-tokens",
           .group = group,
           .target = &max_tokens,
           .help = "Most tokens of the answer; auto: what fits into the model's length",
           .min = 1,
           .max = 1 << 24,
           .zero_is_auto = true,
           .command_line_only = true});
  set.add({.name = "temperature",
           .group = group,
           .target = &temperature,
           .help = "0: the most likely token each time; -1: as the model recommends",
           .min = -1,
           .max = 2,
           .command_line_only = true});
}

std::string PromptOptions::text() const {
  if (prompt != "-") return prompt;
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

}  // namespace sluice
