// PythonValue's states.
#include "server/text/answer/python_value.h"

#include <charconv>

#include "server/text/answer/bytes.h"
#include "server/text/answer/json_scanner.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

bool is_word_byte(char byte) { return is_name_byte(byte) || byte == '+'; }

bool is_json_number(std::string_view text) {
  JsonScanner scanner;
  for (const char byte : text) {
    if (scanner.feed(byte) != JsonScanner::Step::kMore) return false;
  }
  return scanner.feed(' ') == JsonScanner::Step::kEnded;
}

}  // namespace

PythonValue::Step PythonValue::feed(char byte, std::string& json) {
  switch (state_) {
    case State::kString:
      return feed_string(byte, json);
    case State::kEscape:
      return feed_escape(byte, json);
    case State::kHex:
      return feed_hex(byte, json);
    case State::kWord:
      return feed_word(byte, json);
    default:
      break;
  }
  if (is_space_byte(byte)) return Step::kMore;
  switch (state_) {
    case State::kColon:
      if (byte != ':') return Step::kFail;
      json += ": ";
      state_ = State::kValue;
      return Step::kMore;
    case State::kNext:
      if (byte != ',') return close(byte, json);
      comma_ = true;
      state_ = dicts_[depth_ - 1] ? State::kKey : State::kItem;
      return Step::kMore;
    case State::kItem:
    case State::kKey:
      if (byte == ']' || byte == '}') return close(byte, json);
      if (comma_) json += ", ";
      comma_ = false;
      if (state_ == State::kItem) return feed_item(byte, json);
      return byte == '"' || byte == '\'' ? begin_string(byte, true, json) : Step::kFail;
    default:
      return feed_item(byte, json);
  }
}

PythonValue::Step PythonValue::feed_item(char byte, std::string& json) {
  if (byte == '"' || byte == '\'') return begin_string(byte, false, json);
  if (byte == '[' || byte == '{') {
    if (depth_ == kMaxJsonDepth) return Step::kFail;
    dicts_[depth_++] = byte == '{';
    state_ = byte == '{' ? State::kKey : State::kItem;
    json += byte;
    return Step::kMore;
  }
  if (!is_word_byte(byte)) return Step::kFail;
  state_ = State::kWord;
  word_ = byte;
  return Step::kMore;
}

PythonValue::Step PythonValue::begin_string(char quote, bool key, std::string& json) {
  quote_ = quote;
  is_key_ = key;
  state_ = State::kString;
  json += '"';
  return Step::kMore;
}

PythonValue::Step PythonValue::feed_string(char byte, std::string& json) {
  if (byte == '\\') {
    state_ = State::kEscape;
    return Step::kMore;
  }
  joiner_.end(json);
  if (byte == quote_) {
    json += '"';
    if (!is_key_) return end_value();
    state_ = State::kColon;
  } else if (static_cast<unsigned char>(byte) < 0x80) {
    append_json_escaped(&json, {&byte, 1});
  } else {
    json += byte;
  }
  return Step::kMore;
}

PythonValue::Step PythonValue::feed_escape(char byte, std::string& json) {
  state_ = State::kString;
  if (byte == 'x' || byte == 'u' || byte == 'U') {
    state_ = State::kHex;
    hex_left_ = byte == 'x' ? 2 : byte == 'u' ? 4 : 8;
    unit_ = 0;
    return Step::kMore;
  }
  joiner_.end(json);
  if (byte == '\n') return Step::kMore;  // a line that goes on
  constexpr std::string_view kLetters = "\\'\"abfnrtv";
  constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
  const size_t which = kLetters.find(byte);
  if (which != std::string_view::npos) {
    append_json_escaped(&json, kMeanings.substr(which, 1));
    return Step::kMore;
  }
  json += "\\\\";
  return feed_string(byte, json);
}

PythonValue::Step PythonValue::feed_hex(char byte, std::string& json) {
  uint32_t digit = 0;
  if (std::from_chars(&byte, &byte + 1, digit, 16).ec != std::errc()) return Step::kFail;
  unit_ = unit_ << 4 | digit;
  if (--hex_left_ > 0) return Step::kMore;
  state_ = State::kString;
  std::string text;
  joiner_.add(unit_, text);
  append_json_escaped(&json, text);
  return Step::kMore;
}

PythonValue::Step PythonValue::feed_word(char byte, std::string& json) {
  if (is_word_byte(byte)) {
    word_ += byte;
    return word_.size() > kMaxWordBytes ? Step::kFail : Step::kMore;
  }
  if (!add_word(json)) return Step::kFail;
  return end_value() == Step::kDone ? Step::kEnded : feed(byte, json);
}

bool PythonValue::add_word(std::string& json) const {
  for (const auto& [python, word] :
       {std::pair{"True", "true"}, {"False", "false"}, {"None", "null"}}) {
    if (word_ != python && word_ != word) continue;
    json += word;
    return true;
  }
  const std::string_view number = std::string_view(word_).substr(word_.front() == '+' ? 1 : 0);
  if (!is_json_number(number)) return false;
  json += number;
  return true;
}

PythonValue::Step PythonValue::close(char byte, std::string& json) {
  if (byte != (dicts_[depth_ - 1] ? '}' : ']')) return Step::kFail;
  comma_ = false;
  --depth_;
  json += byte;
  return end_value();
}

PythonValue::Step PythonValue::end_value() {
  state_ = State::kNext;
  return depth_ == 0 ? Step::kDone : Step::kMore;
}

}  // namespace sluice
