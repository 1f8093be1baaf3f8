// Normalizer: what a tokenizer does to text before it cuts it, as a list of steps.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "server/text/hf/regex.h"
#include "server/text/hf/unicode.h"

namespace sluice {

using NormalizerStep = std::function<std::string(std::string text)>;

// Steps in order. Text in and out is valid UTF-8. Immutable.
class Normalizer {
 public:
  void add(NormalizerStep step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }
  std::string apply(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

NormalizerStep unicode_form_step(UnicodeForm form);
NormalizerStep lowercase_step();
NormalizerStep strip_marks_step();
NormalizerStep strip_step(bool left, bool right);               // white space at the ends
NormalizerStep prepend_step(std::string prefix);                // unless the text is empty
NormalizerStep replace_step(std::string from, std::string to);  // `from` is not empty
NormalizerStep replace_step(Regex from, std::string to);

// Every `from` in `text` as `to`.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace sluice
