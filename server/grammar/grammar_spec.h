// GrammarSpec: the form that an answer must have, as a request says it. Not yet checked.
#pragma once

#include <string>
#include <vector>

namespace sluice {

struct GrammarSpec {
  enum class Kind {
    kJsonObject,     // any JSON object; no text
    kJsonSchema,     // a JSON value that fits the schema `text`
    kRegex,          // a match of the whole regular expression `text`
    kEbnf,           // GBNF, as llama.cpp's; the first rule is `root`
    kChoice,         // one of `choices`
    kStructuralTag,  // free text in which tags have a form: XGrammar's JSON description in `text`
  };
  Kind kind = Kind::kJsonObject;
  std::string text{};
  std::vector<std::string> choices{};
  std::string field = "response_format";  // of the request, for messages
};

}  // namespace sluice
