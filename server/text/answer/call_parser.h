// CallParser: a growing text into text and calls of tools.
//
//   "One moment.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>"
//     -> text "One moment.", call 0 of f with {"a": 1}
//
// What is no call stays text, down to the byte. Something is a call from the moment in which its
// name is known and its arguments begin; from then on it stays one, and what of its arguments has
// been handed out is the beginning of a JSON object. Where they break off, the call ends and the
// rest is text. White space between text and calls belongs to neither.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/text/answer/answer_part.h"
#include "server/text/answer/answer_syntax.h"
#include "server/text/answer/call_reader.h"
#include "server/text/answer/held_text.h"

namespace sluice {

class CallParser {
 public:
  // The longest part of a call that is held back until it is certain; a longer one is no call.
  static constexpr size_t kMaxHeldBytes = size_t{64} << 10;
  // The same once it is a call: of a value that is not whole yet, or behind the arguments.
  static constexpr size_t kMaxTailBytes = 1024;

  // `tools`: the names of those that are offered. parallel: more than one call may be made, else
  // everything behind the first is left out. `syntax` must outlive this.
  CallParser(const CallSyntax& syntax, std::vector<std::string> tools, bool parallel);

  // Hands out what `added` makes certain; the same parts, joined, however the whole is cut.
  void push(std::string_view added, AnswerParts& out);
  // The answer ends here.
  void finish(AnswerParts& out);

  bool any_calls() const { return any_calls_; }
  // The only call has been made: nothing more will be handed out.
  bool done() const { return done_; }

 private:
  enum class State {
    kText,
    kBefore,  // behind a marker or separator: a call has to follow
    kInside,
    kBehind,  // behind a call: a separator, or the list's end
  };
  class Sink;

  void feed(char byte, AnswerParts& out);
  void feed_text(char byte, AnswerParts& out);
  void feed_before(char byte, AnswerParts& out);
  void feed_inside(char byte, AnswerParts& out);
  void feed_behind(char byte, AnswerParts& out);
  bool begin(const std::string& name, AnswerParts& out);
  void end_call();
  bool opens_call(char byte) const;
  void start_reader(char byte);
  void break_off(char byte, AnswerParts& out);
  void give_up(char byte, AnswerParts& out);
  void add_text(char byte, AnswerParts& out);

  const CallSyntax* syntax_;
  std::vector<std::string> tools_;
  bool parallel_;

  State state_ = State::kText;
  std::vector<std::string_view> markers_;  // the beginnings, then the end that may come, or ""
  MarkerFinder finder_;
  SpaceKeeper space_;
  // From the marker or separator on, until there is a call; then what of it is not handed out yet.
  std::string held_;
  std::unique_ptr<CallReader> reader_;
  bool at_start_ = true;  // nothing but white space so far
  bool marked_ = false;   // the call stands behind a marker
  bool in_list_ = false;
  bool begun_ = false;        // the call that is read is one
  bool behind_call_ = false;  // no text since the last one
  bool any_calls_ = false;
  bool done_ = false;
};

}  // namespace sluice
