// JsonScanner's states.
#include "server/text/answer/json_scanner.h"

#include "server/text/answer/bytes.h"

namespace sluice {
namespace {

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
bool is_hex(char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

}  // namespace

JsonScanner::Step JsonScanner::feed(char byte) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kHex:
      return feed_string(byte);
    case State::kNumber:
      return feed_number(byte);
    case State::kLiteral:
      if (literal_.empty()) return end_value() == Step::kDone ? Step::kEnded : feed(byte);
      if (byte != literal_.front()) return Step::kFail;
      literal_.remove_prefix(1);
      return Step::kMore;
    case State::kOver:
      return Step::kFail;
    default:
      break;
  }
  if (is_space_byte(byte)) return Step::kMore;
  switch (state_) {
    case State::kFirstItem:
      return byte == ']' ? close(false) : feed_value(byte);
    case State::kFirstKey:
      if (byte == '}') return close(true);
      [[fallthrough]];
    case State::kKey:
      if (byte != '"') return Step::kFail;
      begin_string(/*key=*/true);
      return Step::kMore;
    case State::kColon:
      state_ = State::kValue;
      return byte == ':' ? Step::kMore : Step::kFail;
    case State::kNext:
      return feed_next(byte);
    default:
      return feed_value(byte);
  }
}

JsonScanner::Step JsonScanner::feed_value(char byte) {
  if (byte == '{' || byte == '[') return open(byte == '{');
  if (byte == '"') {
    begin_string(/*key=*/false);
    return Step::kMore;
  }
  if (byte == '-' || is_digit(byte)) {
    state_ = State::kNumber;
    number_ = byte == '-' ? Number::kSign : byte == '0' ? Number::kZero : Number::kDigits;
    return Step::kMore;
  }
  for (const std::string_view word : {"true", "false", "null"}) {
    if (byte != word.front()) continue;
    state_ = State::kLiteral;
    literal_ = word.substr(1);
    return Step::kMore;
  }
  return Step::kFail;
}

JsonScanner::Step JsonScanner::feed_next(char byte) {
  if (byte == '}' || byte == ']') return close(byte == '}');
  if (byte != ',') return Step::kFail;
  state_ = objects_[depth_ - 1] ? State::kKey : State::kValue;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::feed_string(char byte) {
  if (state_ == State::kHex) {
    if (--hex_left_ == 0) state_ = State::kString;
    return is_hex(byte) ? Step::kMore : Step::kFail;
  }
  if (state_ == State::kEscape) {
    constexpr std::string_view kEscapes = "\"\\/bfnrtu";
    state_ = byte == 'u' ? State::kHex : State::kString;
    hex_left_ = 4;
    return kEscapes.find(byte) == std::string_view::npos ? Step::kFail : Step::kMore;
  }
  if (byte == '\\') {
    state_ = State::kEscape;
  } else if (byte == '"') {
    if (!is_key_) return end_value();
    state_ = State::kColon;
  }
  return Step::kMore;
}

JsonScanner::Step JsonScanner::feed_number(char byte) {
  const auto go = [this](Number next) {
    number_ = next;
    return Step::kMore;
  };
  switch (number_) {
    case Number::kSign:
      if (byte == '0') return go(Number::kZero);
      return is_digit(byte) ? go(Number::kDigits) : Step::kFail;
    case Number::kPoint:
      return is_digit(byte) ? go(Number::kFraction) : Step::kFail;
    case Number::kExponent:
      if (byte == '+' || byte == '-') return go(Number::kExponentSign);
      [[fallthrough]];
    case Number::kExponentSign:
      return is_digit(byte) ? go(Number::kPower) : Step::kFail;
    default:
      break;
  }
  const bool whole = number_ == Number::kZero || number_ == Number::kDigits;
  if (is_digit(byte) && number_ != Number::kZero) return Step::kMore;
  if (byte == '.' && whole) return go(Number::kPoint);
  if ((byte == 'e' || byte == 'E') && number_ != Number::kPower) return go(Number::kExponent);
  return end_value() == Step::kDone ? Step::kEnded : feed(byte);
}

JsonScanner::Step JsonScanner::open(bool object) {
  if (depth_ == kMaxJsonDepth) return Step::kFail;
  objects_[depth_++] = object;
  state_ = object ? State::kFirstKey : State::kFirstItem;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::close(bool object) {
  if (objects_[depth_ - 1] != object) return Step::kFail;
  --depth_;
  return end_value();
}

JsonScanner::Step JsonScanner::end_value() {
  state_ = depth_ == 0 ? State::kOver : State::kNext;
  return depth_ == 0 ? Step::kDone : Step::kMore;
}

void JsonScanner::begin_string(bool key) {
  is_key_ = key;
  state_ = State::kString;
}

}  // namespace sluice
