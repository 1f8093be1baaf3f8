// StringDecoder: a JSON string's escapes as the text that they stand for, byte by byte.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

// Code points from the \u escapes of a string, where those beyond U+FFFF are two: a high surrogate
// and a low one. Half a pair becomes U+FFFD.
class SurrogateJoiner {
 public:
  void add(uint32_t unit, std::string& out);
  // Something else than a \u escape follows.
  void end(std::string& out);

 private:
  uint32_t high_ = 0;  // waits for its low one
};

// Begins behind the opening quote.
class StringDecoder {
 public:
  enum class Step { kMore, kDone, kFail };

  // Appends to `out` what `byte` makes certain; kDone: it was the closing quote.
  Step feed(char byte, std::string& out);

 private:
  Step feed_escape(char byte, std::string& out);

  bool escaped_ = false;
  int hex_left_ = 0;
  uint32_t unit_ = 0;
  SurrogateJoiner joiner_;
};

}  // namespace sluice
