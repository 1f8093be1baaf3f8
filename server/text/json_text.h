// JSON out: text appended to a string. Responses are built by these, without a tree in between,
// because one is built for every token of every stream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

// `text` in quotes, escaped. Bytes that are no UTF-8 become U+FFFD, one for each maximal bad
// sequence: the result is always valid JSON.
void append_json_string(std::string* out, std::string_view text);
// Without the quotes, for text that is put together from several pieces of whole code points.
void append_json_escaped(std::string* out, std::string_view text);
void append_json(std::string* out, int64_t value);
// The shortest text that reads back as the same float. Not finite: -9999.0, as OpenAI's clients
// know it.
void append_json(std::string* out, float value);

}  // namespace sluice
