// AnswerPart: what a model answers, taken apart into reasoning, text and calls of tools.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

// The next piece of an answer.
struct AnswerPart {
  enum class Kind { kReasoning, kText, kCall };
  Kind kind = Kind::kText;
  std::string text;  // kCall: of the arguments, a JSON object
  int call = 0;      // kCall: which one, from 0
  std::string name;  // kCall: the tool's, in a call's first part only
};

// Parts in the order in which they come; neighbours of one kind are joined.
class AnswerParts {
 public:
  void add(AnswerPart::Kind kind, std::string_view text) {
    if (text.empty()) return;
    if (parts_.empty() || parts_.back().kind != kind) {
      parts_.push_back({kind, {}, kind == AnswerPart::Kind::kCall ? num_calls_ - 1 : 0, {}});
    }
    parts_.back().text += text;
  }
  void begin_call(std::string name) {
    parts_.push_back({AnswerPart::Kind::kCall, {}, num_calls_++, std::move(name)});
  }
  std::vector<AnswerPart> take() { return std::exchange(parts_, {}); }

 private:
  std::vector<AnswerPart> parts_;
  int num_calls_ = 0;
};

}  // namespace sluice
