// PythonValue: a literal of Python, byte by byte, as JSON.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/text/answer/string_decoder.h"
#include "server/text/json_value.h"

namespace sluice {

// Strings in either quote, numbers, True, False, None (or JSON's words), lists, and dictionaries
// whose keys are strings; nested to kMaxJsonDepth at most. Escapes are Python's, but for \N and
// octal ones, which stay as they are written.
class PythonValue {
 public:
  enum class Step {
    kMore,
    kDone,   // the value ends with this byte
    kEnded,  // it ended before this byte: a number or word
    kFail,   // no value goes on with this byte
  };

  // Appends to `json` what `byte` makes certain.
  Step feed(char byte, std::string& json);

 private:
  enum class State {
    kValue,
    kItem,  // or the end of the list
    kKey,   // or the end of the dictionary
    kColon,
    kNext,
    kString,
    kEscape,
    kHex,
    kWord,  // a number, or True and its like
  };
  static constexpr size_t kMaxWordBytes = 64;

  Step feed_item(char byte, std::string& json);
  Step feed_string(char byte, std::string& json);
  Step feed_escape(char byte, std::string& json);
  Step feed_hex(char byte, std::string& json);
  Step feed_word(char byte, std::string& json);
  Step begin_string(char quote, bool key, std::string& json);
  Step close(char byte, std::string& json);
  Step end_value();
  bool add_word(std::string& json) const;

  State state_ = State::kValue;
  std::bitset<kMaxJsonDepth> dicts_;  // which of the open containers are dictionaries
  size_t depth_ = 0;
  bool comma_ = false;  // one came; written once something follows it
  char quote_ = 0;
  bool is_key_ = false;
  int hex_left_ = 0;
  uint32_t unit_ = 0;
  SurrogateJoiner joiner_;
  std::string word_;
};

}  // namespace sluice
