// JSON text from strangers: read with a bound, and refused before parsing if it could hurt.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace sluice {

// The whole file; refuses what is missing, not a regular file, or larger than max_bytes.
Result<std::string> read_text_file(const std::string& path, size_t max_bytes);

// OK if `text` is one JSON object, valid UTF-8, at most max_depth levels deep (the object itself is
// level 1), and no object in it names a key twice: parsers disagree about which one wins. `file`
// names the text in messages. A parser needs no error path for a text that passed.
Status check_json_object(std::string_view text, const std::string& file, int max_depth);

// A stranger's string for a message: at most 80 bytes, control characters as '?'.
std::string shown(std::string_view text);

}  // namespace sluice
