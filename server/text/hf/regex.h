// Regex: the patterns of tokenizer files, matched by PCRE2. The only file that sees the library.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace sluice {

// [begin, end) in bytes.
struct Span {
  size_t begin, end;
  bool operator==(const Span&) const = default;
};

// Immutable and cheap to copy; a Matcher belongs to one thread.
class Regex {
 public:
  // `pattern` is written as Hugging Face's files write it, for Oniguruma in Ruby's syntax. What the
  // two engines read differently is rewritten (\s \w \d \h \v \uHHHH, line ends) or refused: nested
  // sets, &&, \b, back references, options other than i, {n}+, and a pattern that matches nothing.
  static Result<Regex> compile(const std::string& pattern);

  class Matcher {
   public:
    explicit Matcher(const Regex& regex);
    // Appends the leftmost matches of `text` (valid UTF-8), which do not overlap. CHECKs that the
    // engine's limits of steps and memory were enough.
    void find_all(std::string_view text, std::vector<Span>& matches) const;

   private:
    struct State;
    std::shared_ptr<State> state_;
  };

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace sluice
