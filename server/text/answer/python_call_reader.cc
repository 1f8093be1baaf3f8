// Calls that are written as Python's.
#include "server/text/answer/bytes.h"
#include "server/text/answer/call_reader.h"
#include "server/text/answer/python_value.h"

namespace sluice {
namespace {

bool is_identifier_byte(char c) { return is_name_byte(c) && c != '-' && c != '.'; }

class PythonCallReader final : public CallReader {
 public:
  Step feed(char byte, CallSink& sink) override {
    switch (state_) {
      case State::kName:
        return feed_name(byte);
      case State::kKey:
        return feed_key(byte, sink);
      case State::kValue:
        return feed_value(byte, sink);
      default:
        return is_space_byte(byte) ? Step::kMore : feed_between(byte, sink);
    }
  }

 private:
  enum class State { kName, kFirstKey, kNextKey, kKey, kEquals, kValue, kNext };

  Step go(State next) {
    state_ = next;
    return Step::kMore;
  }

  Step feed_name(char byte) {
    if (byte == '(' && !name_.empty()) return go(State::kFirstKey);
    if (!is_name_byte(byte) || name_.size() == kMaxCallNameBytes) return Step::kFail;
    name_ += byte;
    return Step::kMore;
  }

  Step feed_between(char byte, CallSink& sink) {
    switch (state_) {
      case State::kEquals:
        return byte == '=' ? begin_argument(sink) : Step::kFail;
      case State::kNext:
        if (byte == ',') return go(State::kNextKey);
        return byte == ')' ? end(sink) : Step::kFail;
      default:  // a key, or the end
        if (byte == ')') return end(sink);
        key_.clear();
        state_ = State::kKey;
        return is_identifier_byte(byte) ? feed_key(byte, sink) : Step::kFail;
    }
  }

  Step feed_key(char byte, CallSink& sink) {
    if (is_identifier_byte(byte)) {
      key_ += byte;
      return key_.size() > kMaxCallNameBytes ? Step::kFail : Step::kMore;
    }
    if (is_space_byte(byte)) return go(State::kEquals);
    return byte == '=' ? begin_argument(sink) : Step::kFail;
  }

  Step begin_argument(CallSink& sink) {
    if (!begun_ && !sink.begin(name_)) return Step::kFail;
    sink.arguments((begun_ ? ", \"" : "{\"") + key_ + "\": ");
    begun_ = true;
    value_ = PythonValue();
    return go(State::kValue);
  }

  Step feed_value(char byte, CallSink& sink) {
    std::string json;
    const PythonValue::Step step = value_.feed(byte, json);
    if (step == PythonValue::Step::kFail) return Step::kFail;
    if (!json.empty()) sink.arguments(json);
    if (step == PythonValue::Step::kMore) return Step::kMore;
    state_ = State::kNext;
    return step == PythonValue::Step::kEnded ? feed(byte, sink) : Step::kMore;
  }

  Step end(CallSink& sink) {
    if (!begun_ && !sink.begin(name_)) return Step::kFail;
    sink.arguments(begun_ ? "}" : "{}");
    return Step::kDone;
  }

  State state_ = State::kName;
  std::string name_;
  std::string key_;
  bool begun_ = false;
  PythonValue value_;
};

}  // namespace

std::unique_ptr<CallReader> make_python_call_reader() {
  return std::make_unique<PythonCallReader>();
}

}  // namespace sluice
