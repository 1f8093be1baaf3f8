// How models mark their reasoning and their calls of tools: the wire forms, as data.
#pragma once

#include <array>
#include <string_view>

namespace sluice {

// How a family writes calls. Parsers are named as vLLM's are.
struct CallSyntax {
  struct Markers {
    std::string_view begin, end;  // an empty end: none
  };
  enum class Body {
    kJson,    // {"name": "f", "arguments": {...}}, alone or in a list
    kNamed,   // f[ARGS]{...}, or as kJson
    kPython,  // [f(a=1), g()]
  };
  std::string_view name;
  Body body;
  std::array<Markers, 2> markers;           // what calls stand between; empty ones: fewer
  std::array<std::string_view, 2> inner{};  // markers inside of calls
  // Without a marker too, where an answer begins with a call of a tool that is offered.
  bool bare = false;
  char separator = 0;      // between calls outside of lists; 0: none
  bool short_ids = false;  // ids of calls have nine letters or digits
};

// How a family marks its reasoning, which comes before the answer.
struct ReasoningSyntax {
  std::string_view name;
  std::string_view open, close;
  bool opened = false;  // every answer begins with reasoning, whether it is opened or not
};

// The syntax of that name; null: there is none.
const CallSyntax* find_call_syntax(std::string_view name);
const ReasoningSyntax* find_reasoning_syntax(std::string_view name);

// The one that a chat template's source shows; null: it shows none that is known.
const CallSyntax* call_syntax_of(std::string_view chat_template);
const ReasoningSyntax* reasoning_syntax_of(std::string_view chat_template);

// Whether a text, which the prompt ends with, opens reasoning and leaves it open.
bool leaves_open(const ReasoningSyntax& syntax, std::string_view text);

}  // namespace sluice
