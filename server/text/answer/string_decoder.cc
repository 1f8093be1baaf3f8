// StringDecoder: RFC 8259, section 7.
#include "server/text/answer/string_decoder.h"

#include <charconv>

#include "server/text/utf8.h"

namespace sluice {

void SurrogateJoiner::add(uint32_t unit, std::string& out) {
  if (high_ != 0 && unit >= 0xDC00 && unit < 0xE000) {
    append_utf8(out, 0x10000 + ((high_ - 0xD800) << 10) + (unit - 0xDC00));
    high_ = 0;
    return;
  }
  end(out);
  if (unit >= 0xD800 && unit < 0xDC00) {
    high_ = unit;
  } else {
    append_utf8(out, unit);
  }
}

void SurrogateJoiner::end(std::string& out) {
  if (high_ != 0) out += kReplacementCharacter;
  high_ = 0;
}

StringDecoder::Step StringDecoder::feed(char byte, std::string& out) {
  if (hex_left_ > 0) {
    uint32_t digit = 0;
    if (std::from_chars(&byte, &byte + 1, digit, 16).ec != std::errc()) return Step::kFail;
    unit_ = unit_ << 4 | digit;
    if (--hex_left_ == 0) joiner_.add(unit_, out);
    return Step::kMore;
  }
  if (escaped_) return feed_escape(byte, out);
  if (byte == '\\') {
    escaped_ = true;
    return Step::kMore;
  }
  joiner_.end(out);
  if (byte == '"') return Step::kDone;
  out += byte;
  return Step::kMore;
}

StringDecoder::Step StringDecoder::feed_escape(char byte, std::string& out) {
  escaped_ = false;
  if (byte == 'u') {
    hex_left_ = 4;
    unit_ = 0;
    return Step::kMore;
  }
  joiner_.end(out);
  constexpr std::string_view kLetters = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const size_t which = kLetters.find(byte);
  if (which == std::string_view::npos) return Step::kFail;
  out += kMeanings[which];
  return Step::kMore;
}

}  // namespace sluice
