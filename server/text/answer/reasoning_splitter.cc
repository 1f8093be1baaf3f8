// ReasoningSplitter's states.
#include "server/text/answer/reasoning_splitter.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sluice {

void ReasoningSplitter::push(std::string_view added, std::string& reasoning, std::string& text) {
  for (size_t i = 0; i < added.size(); ++i) {
    switch (state_) {
      case State::kBefore:
        feed_before(added[i], reasoning, text);
        break;
      case State::kInside:
        feed_inside(added[i], reasoning);
        break;
      case State::kBehind:
        if (is_space_byte(added[i])) break;
        state_ = State::kText;
        [[fallthrough]];
      case State::kText:
        text += added.substr(i);
        return;
    }
  }
}

void ReasoningSplitter::feed_before(char byte, std::string& reasoning, std::string& text) {
  start_ += byte;
  const size_t space = std::min(start_.find_first_not_of(" \n\r\t"), start_.size());
  const std::string_view shown = std::string_view(start_).substr(space);
  if (shown == syntax_->open) {
    state_ = State::kInside;
  } else if (space > SpaceKeeper::kMaxHeldBytes || !syntax_->open.starts_with(shown)) {
    state_ = opened_ ? State::kInside : State::kText;
    push(std::exchange(start_, {}), reasoning, text);
  }
}

void ReasoningSplitter::feed_inside(char byte, std::string& reasoning) {
  const auto plain = [&](char part) {
    if (!any_ && is_space_byte(part)) return;
    any_ = true;
    space_.add(part, reasoning);
  };
  if (!finder_.feed(byte, std::array{syntax_->close}, plain)) return;
  space_.drop();
  state_ = State::kBehind;
}

void ReasoningSplitter::finish(std::string& reasoning, std::string& text) {
  if (state_ == State::kBefore) (opened_ ? reasoning : text) += start_;
  if (state_ != State::kInside) return;
  finder_.finish([&](char part) { space_.add(part, reasoning); });
  space_.flush(reasoning);
}

}  // namespace sluice
