// JsonScanner: where a JSON value ends in text that comes byte by byte, and whether it is one.
#pragma once

#include <bitset>
#include <cstddef>
#include <string_view>

#include "server/text/json_value.h"

namespace sluice {

// RFC 8259, nested to kMaxJsonDepth at most. Control characters in strings, which are wrong there
// and which models write, pass: in_string() tells the caller, who may escape them.
class JsonScanner {
 public:
  enum class Step {
    kMore,
    kDone,   // the value ends with this byte
    kEnded,  // it ended before this byte: a number or literal
    kFail,   // no value goes on with this byte
  };

  Step feed(char byte);
  bool in_string() const { return state_ == State::kString; }

 private:
  enum class State {
    kValue,
    kFirstItem,  // or the end of the array
    kFirstKey,   // or the end of the object
    kKey,
    kColon,
    kNext,  // a comma, or the end of what is open
    kString,
    kEscape,
    kHex,
    kNumber,
    kLiteral,
    kOver,
  };
  // What a number has so far.
  enum class Number { kSign, kZero, kDigits, kPoint, kFraction, kExponent, kExponentSign, kPower };

  Step feed_value(char byte);
  Step feed_next(char byte);
  Step feed_string(char byte);
  Step feed_number(char byte);
  Step open(bool object);
  Step close(bool object);
  Step end_value();
  void begin_string(bool key);

  State state_ = State::kValue;
  Number number_ = Number::kSign;
  std::bitset<kMaxJsonDepth> objects_;  // which of the open containers are objects
  size_t depth_ = 0;
  bool is_key_ = false;
  int hex_left_ = 0;
  std::string_view literal_;  // what is left of one
};

}  // namespace sluice
