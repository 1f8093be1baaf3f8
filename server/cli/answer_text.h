// AnswerText: an answer on its way to a terminal, its reasoning and its text apart.
#pragma once

#include <ostream>
#include <string_view>

namespace sluice {

class AnswerText {
 public:
  explicit AnswerText(std::ostream& out) : out_(out) {}

  void add(std::string_view reasoning, std::string_view text) {
    out_ << reasoning;
    reasoned_ = reasoned_ || !reasoning.empty();
    if (text.empty()) return;
    if (reasoned_) out_ << "\n\n";
    reasoned_ = false;
    out_ << text;
  }

 private:
  std::ostream& out_;
  bool reasoned_ = false;  // and no text since
};

}  // namespace sluice
