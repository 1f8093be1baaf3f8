// PreTokenizer: cuts normalised text into the pieces inside which tokens are made.
//
//   text   "Hello, world"      GPT-2's pattern
//   ends        5 6     12     "Hello" "," " world"
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/text/hf/regex.h"

namespace sluice {

struct Pieces {
  std::string text;
  std::vector<size_t> ends;  // of the pieces, ascending, none empty; the last is text.size()
  bool at_start = false;     // the first piece begins the whole prompt
};

using PreTokenizerStep = std::function<void(Pieces& pieces)>;

// Steps in order, each on what the one before left. Immutable.
class PreTokenizer {
 public:
  void add(PreTokenizerStep step) { steps_.push_back(std::move(step)); }
  // `text` as one piece, then cut. No pieces if it is empty.
  Pieces apply(std::string text, bool at_start) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

// What becomes of the matches of a pattern, and of the text between them.
enum class SplitBehavior {
  kIsolated,            // each match a piece, and each text between matches
  kRemoved,             // matches vanish
  kMergedWithPrevious,  // a match belongs to the piece before it
  kMergedWithNext,
  kContiguous,  // neighbouring matches are one piece
};

// invert: matches and what lies between them change places.
PreTokenizerStep split_step(Regex pattern, SplitBehavior behavior, bool invert);
PreTokenizerStep split_step(std::string literal, SplitBehavior behavior, bool invert);

// A space before each piece that begins with none.
PreTokenizerStep prefix_space_step();

enum class PrependScheme { kAlways, kFirst, kNever };  // kFirst: at the prompt's start only

// Spaces become `replacement` (U+2581), which is put before a piece that begins with none, and
// begins a new piece if `split`.
PreTokenizerStep metaspace_step(std::string replacement, PrependScheme scheme, bool split);

}  // namespace sluice
