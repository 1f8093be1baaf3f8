// Lexer: a template's source to tokens. Whitespace control happens here, as Jinja does it with
// trim_blocks and lstrip_blocks on, which is how chat templates are written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace sluice::jinja {

struct Token {
  enum class Kind {
    kText,         // outside of tags; `text`
    kOutputBegin,  // {{
    kOutputEnd,    // }}
    kBlockBegin,   // {%
    kBlockEnd,     // %}
    kName,         // `text`
    kString,       // `text`, escapes resolved
    kInteger,      // `integer`
    kFloat,        // `number`
    kOperator,     // `text`: one of the operators and brackets
    kEnd,          // of the source; always the last token
  };
  Kind kind;
  int line;  // from 1
  std::string text = {};
  int64_t integer = 0;
  double number = 0;
};

// Comments are dropped. Refuses what is no token, with its line.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace sluice::jinja
