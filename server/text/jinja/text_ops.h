// Operations on marked text, as Python's str has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/text/jinja/runtime.h"

namespace sluice::jinja {

enum class Ends { kBoth, kLeft, kRight };

// Without the characters `chars` (empty: white space) at its ends.
MarkedText strip(const MarkedText& text, std::string_view chars, Ends ends);
// At each `separator` (empty: runs of white space), at most `most` times (negative: no bound),
// counted from the right if `from_right`.
std::vector<MarkedText> split(const MarkedText& text, std::string_view separator, int64_t most,
                              bool from_right);
std::vector<MarkedText> split_lines(const MarkedText& text, bool keep_ends);
// Each `from`, at most `most` of them (negative: all), as `to`. `from` is not empty.
Value replace(Runtime& runtime, const MarkedText& text, std::string_view from, const MarkedText& to,
              int64_t most);
// First character in upper, the others in lower case.
MarkedText capitalize(const MarkedText& text);
// The first of each word in upper case; words are what stands between characters that `ends_word`
// holds for.
MarkedText title(const MarkedText& text, bool (*ends_word)(std::string_view character));
bool is_python_space(std::string_view character);
// "%s is %d" % values.
Value format_percent(Runtime& runtime, const MarkedText& format, const Value& values);

}  // namespace sluice::jinja
