// JSON as Python's json.dumps writes it.
#pragma once

#include <string>

#include "server/text/jinja/runtime.h"

namespace sluice::jinja {

struct JsonStyle {
  bool ascii = false;          // \uXXXX for what is not ASCII
  int64_t indent = -1;         // spaces a level; negative: all on one line
  std::string between = ", ";  // items
  std::string behind_key = ": ";
  bool sort_keys = false;
};

// Fails for what JSON does not have.
MarkedText to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace sluice::jinja
