// AnswerParser: the text of one choice of a chat, as it comes, into reasoning, text and calls.
//
//   text -> ReasoningSplitter -> CallParser -> AnswerParts
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/text/answer/answer_part.h"
#include "server/text/answer/call_parser.h"
#include "server/text/answer/reasoning_splitter.h"

namespace sluice {

// What is looked for in an answer; null: not looked for, it stays text.
struct AnswerParserOptions {
  const ReasoningSyntax* reasoning = nullptr;
  bool reasoning_opened = false;  // by the prompt
  const CallSyntax* calls = nullptr;
  std::vector<std::string> tools;  // names of those that are offered
  bool parallel_calls = true;
};

class AnswerParser {
 public:
  explicit AnswerParser(const AnswerParserOptions& options) {
    if (options.reasoning != nullptr) {
      reasoning_.emplace(*options.reasoning, options.reasoning_opened);
    }
    if (options.calls != nullptr) {
      calls_.emplace(*options.calls, options.tools, options.parallel_calls);
    }
  }

  // Appends to `out` what `added`, whole code points, makes certain. The parts, joined, do not
  // depend on how the text is cut.
  void push(std::string_view added, AnswerParts& out) {
    if (!reasoning_) return push_text(added, out);
    std::string reasoning, text;
    reasoning_->push(added, reasoning, text);
    out.add(AnswerPart::Kind::kReasoning, reasoning);
    push_text(text, out);
  }

  // The answer ends here.
  void finish(AnswerParts& out) {
    std::string reasoning, text;
    if (reasoning_) reasoning_->finish(reasoning, text);
    out.add(AnswerPart::Kind::kReasoning, reasoning);
    push_text(text, out);
    if (calls_) calls_->finish(out);
  }

  bool any_calls() const { return calls_ && calls_->any_calls(); }
  // The one call that may be made has been made: the answer is over.
  bool done() const { return calls_ && calls_->done(); }

 private:
  void push_text(std::string_view text, AnswerParts& out) {
    if (calls_) {
      calls_->push(text, out);
    } else {
      out.add(AnswerPart::Kind::kText, text);
    }
  }

  std::optional<ReasoningSplitter> reasoning_;
  std::optional<CallParser> calls_;
};

}  // namespace sluice
