// StopMatcher: cuts a growing text at the first stop string, wherever the pieces are cut.
//
//   text so far   | sent                    | held back |      held back: the longest end of the
//   text
//                                           "</ans"            that a stop string begins with
//
// The stop string whose last byte comes first wins; of several that end there, the longest. So the
// result depends on the whole text only, and a match is known as soon as its last byte is there.
// Each stop string is followed by the automaton of Knuth, Morris and Pratt: linear in text * stops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class StopMatcher {
 public:
  // Each stop is a non-empty valid UTF-8 text. include_stop: a match is part of the text, and then
  // nothing need be held back.
  StopMatcher(const std::vector<std::string>& stops, bool include_stop);

  // Appends to `text` what of the text so far is safe to send, now that `added` follows (whole code
  // points). may_stop: a stop string that ends within `added` counts. True: the text ended here;
  // nothing may be pushed any more.
  bool push(std::string_view added, bool may_stop, std::string& text);
  // Appends what was held back: the text ended without a stop string.
  void finish(std::string& text);

  // The stop string that ended the text, or empty.
  const std::string& matched() const { return matched_; }

 private:
  struct Automaton {
    std::string stop;
    std::vector<uint16_t> fallback;  // [stop.size() + 1]: longest proper border of each prefix
    size_t state = 0;                // bytes of `stop` that the text so far ends with
  };
  static size_t advance(Automaton& automaton, char byte);

  std::vector<Automaton> automata_;
  bool include_stop_;
  std::string held_;  // shorter than the longest stop
  std::string matched_;
};

}  // namespace sluice
