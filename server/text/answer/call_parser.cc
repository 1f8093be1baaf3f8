// CallParser's states.
#include "server/text/answer/call_parser.h"

#include <algorithm>
#include <utility>

namespace sluice {

class CallParser::Sink final : public CallSink {
 public:
  Sink(CallParser& parser, AnswerParts& out) : parser_(parser), out_(out) {}
  bool begin(const std::string& name) override { return parser_.begin(name, out_); }
  void arguments(std::string_view json) override {
    out_.add(AnswerPart::Kind::kCall, json);
    written_ = true;
  }
  bool written() const { return written_; }

 private:
  CallParser& parser_;
  AnswerParts& out_;
  bool written_ = false;
};

CallParser::CallParser(const CallSyntax& syntax, std::vector<std::string> tools, bool parallel)
    : syntax_(&syntax), tools_(std::move(tools)), parallel_(parallel) {
  for (const CallSyntax::Markers& markers : syntax.markers) markers_.push_back(markers.begin);
  markers_.emplace_back();
}

void CallParser::push(std::string_view added, AnswerParts& out) {
  for (const char byte : added) {
    if (done_) return;
    feed(byte, out);
  }
}

void CallParser::finish(AnswerParts& out) {
  if (done_) return;
  const bool in_call = state_ == State::kInside && begun_;  // it ends where it broke off
  if (in_call) end_call();
  for (const char byte : std::exchange(held_, {})) add_text(byte, out);
  finder_.finish([&](char byte) { add_text(byte, out); });
  std::string rest;
  if (!behind_call_) space_.flush(rest);
  out.add(AnswerPart::Kind::kText, rest);
}

void CallParser::feed(char byte, AnswerParts& out) {
  switch (state_) {
    case State::kText:
      return feed_text(byte, out);
    case State::kBefore:
      return feed_before(byte, out);
    case State::kInside:
      return feed_inside(byte, out);
    case State::kBehind:
      return feed_behind(byte, out);
  }
}

void CallParser::feed_text(char byte, AnswerParts& out) {
  if (syntax_->bare && at_start_ && opens_call(byte)) {
    marked_ = false;
    state_ = State::kBefore;
    return feed_before(byte, out);
  }
  at_start_ = at_start_ && is_space_byte(byte);
  const auto marker = finder_.feed(byte, markers_, [&](char part) { add_text(part, out); });
  if (!marker) return;
  if (*marker + 1 == markers_.size()) {  // the end of what the calls stand between
    markers_.back() = {};
    return space_.drop();
  }
  held_ = markers_[*marker];
  markers_.back() = syntax_->markers[*marker].end;
  marked_ = true;
  state_ = State::kBefore;
}

bool CallParser::opens_call(char byte) const {
  if (syntax_->body == CallSyntax::Body::kPython)
    return in_list_ ? is_name_byte(byte) : byte == '[';
  if (byte == '{' || (byte == '[' && !in_list_)) return true;
  return syntax_->body == CallSyntax::Body::kNamed && is_name_byte(byte);
}

void CallParser::feed_before(char byte, AnswerParts& out) {
  if (is_space_byte(byte) && held_.size() < kMaxHeldBytes) {
    held_ += byte;
    return;
  }
  if (!opens_call(byte)) return give_up(byte, out);
  if (byte == '[') {
    held_ += byte;
    in_list_ = true;
    return;
  }
  start_reader(byte);
  feed_inside(byte, out);
}

void CallParser::start_reader(char byte) {
  switch (syntax_->body) {
    case CallSyntax::Body::kPython:
      reader_ = make_python_call_reader();
      break;
    case CallSyntax::Body::kNamed:
      reader_ = byte == '{' ? make_json_call_reader() : make_named_call_reader();
      break;
    case CallSyntax::Body::kJson:
      reader_ = make_json_call_reader();
      break;
  }
  begun_ = false;
  state_ = State::kInside;
}

void CallParser::feed_inside(char byte, AnswerParts& out) {
  const bool full = held_.size() == (begun_ ? kMaxTailBytes : kMaxHeldBytes);
  Sink sink(*this, out);
  const CallReader::Step step = full ? CallReader::Step::kFail : reader_->feed(byte, sink);
  if (step == CallReader::Step::kFail) return begun_ ? break_off(byte, out) : give_up(byte, out);
  if (sink.written()) {
    held_.clear();
  } else {
    held_ += byte;
  }
  if (step == CallReader::Step::kDone) end_call();
}

// The call ends before what is held, as `byte` does not go on with it.
void CallParser::break_off(char byte, AnswerParts& out) {
  const std::string rest = held_ + byte;
  end_call();
  push(rest, out);
}

// What is held was no beginning of a call, as `byte` does not go on with it.
void CallParser::give_up(char byte, AnswerParts& out) {
  state_ = State::kText;
  in_list_ = false;
  for (const char part : std::exchange(held_, {})) add_text(part, out);
  at_start_ = false;
  feed_text(byte, out);
}

bool CallParser::begin(const std::string& name, AnswerParts& out) {
  const bool offered = std::find(tools_.begin(), tools_.end(), name) != tools_.end();
  if (!marked_ && !offered) return false;
  begun_ = true;
  any_calls_ = true;
  space_.drop();
  out.begin_call(name);
  return true;
}

void CallParser::end_call() {
  held_.clear();
  state_ = State::kBehind;
  behind_call_ = true;
  at_start_ = false;
  done_ = !parallel_;
}

void CallParser::feed_behind(char byte, AnswerParts& out) {
  if (is_space_byte(byte)) return add_text(byte, out);
  if (byte == (in_list_ ? ',' : syntax_->separator) && byte != 0) {
    held_ = byte;
    state_ = State::kBefore;
  } else if (byte == ']' && in_list_) {
    in_list_ = false;
  } else {
    in_list_ = false;
    state_ = State::kText;
    feed_text(byte, out);
  }
}

void CallParser::add_text(char byte, AnswerParts& out) {
  std::string text;
  space_.add(byte, text);
  if (text.empty()) return;
  markers_.back() = {};
  behind_call_ = false;
  out.add(AnswerPart::Kind::kText, text);
}

}  // namespace sluice
