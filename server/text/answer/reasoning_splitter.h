// ReasoningSplitter: a growing answer into reasoning and what comes behind it.
//
//   "<think>\nHm, 2.\n</think>\n\nTwo."   ->   reasoning "Hm, 2.", text "Two."
#pragma once

#include <string>
#include <string_view>

#include "server/text/answer/answer_syntax.h"
#include "server/text/answer/held_text.h"

namespace sluice {

// Reasoning is marked where the answer begins, or not at all: later markers are text. White space
// at its borders belongs to the markers. What is never closed is reasoning to the end.
class ReasoningSplitter {
 public:
  // `opened`: the prompt has opened the reasoning already. `syntax` must outlive this.
  ReasoningSplitter(const ReasoningSyntax& syntax, bool opened)
      : syntax_(&syntax), opened_(opened || syntax.opened) {}

  // Appends what `added` makes certain, however the whole is cut.
  void push(std::string_view added, std::string& reasoning, std::string& text);
  // The answer ends here.
  void finish(std::string& reasoning, std::string& text);

 private:
  enum class State { kBefore, kInside, kBehind, kText };

  void feed_before(char byte, std::string& reasoning, std::string& text);
  void feed_inside(char byte, std::string& reasoning);

  const ReasoningSyntax* syntax_;
  bool opened_;
  State state_ = State::kBefore;
  std::string start_;  // of the answer, as long as it may be the opening marker
  bool any_ = false;   // reasoning that is no white space
  MarkerFinder finder_;
  SpaceKeeper space_;
};

}  // namespace sluice
