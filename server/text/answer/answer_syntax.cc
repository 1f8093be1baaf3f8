// The tables of wire forms, and the traces that they leave in chat templates.
#include "server/text/answer/answer_syntax.h"

namespace sluice {
namespace {

using Body = CallSyntax::Body;

constexpr std::array kCallSyntaxes = {
    CallSyntax{.name = "hermes",  // Qwen 2.5 and 3, SmolLM3, Granite 4, Hermes
               .body = Body::kJson,
               .markers = {{{"<tool_call>", "</tool_call>"}}}},
    CallSyntax{.name = "mistral",
               .body = Body::kNamed,
               .markers = {{{"[TOOL_CALLS]", ""}}},
               .inner = {"[CALL_ID]", "[ARGS]"},
               .short_ids = true},
    CallSyntax{.name = "llama3_json",
               .body = Body::kJson,
               .markers = {{{"<|python_tag|>", ""}}},
               .bare = true,
               .separator = ';'},
    CallSyntax{.name = "pythonic",  // Llama 3.2 and 4, LFM2, ToolACE
               .body = Body::kPython,
               .markers = {{{"<|tool_call_start|>", "<|tool_call_end|>"},
                            {"<|python_start|>", "<|python_end|>"}}},
               .bare = true},
};

constexpr std::array kReasoningSyntaxes = {
    ReasoningSyntax{.name = "qwen3", .open = "<think>", .close = "</think>"},
    ReasoningSyntax{.name = "deepseek_r1", .open = "<think>", .close = "</think>", .opened = true},
    ReasoningSyntax{.name = "mistral", .open = "[THINK]", .close = "[/THINK]"},
    ReasoningSyntax{
        .name = "granite", .open = "Here is my thought process:", .close = "Here is my response:"},
};

// A template that has `trace` (and not `but`) teaches or shows the syntax.
struct Trace {
  std::string_view trace, syntax, but;
};

constexpr Trace kCallTraces[] = {
    {"<tool_call>", "hermes", "<function="},  // else an XML form, which no parser here reads
    {"[TOOL_CALLS]", "mistral", ""},
    {"<|tool_call_start|>", "pythonic", ""},
    {"<|python_start|>[", "pythonic", ""},
    {"func_name1(params_name1=", "pythonic", ""},
    {"<|python_tag|>", "llama3_json", ""},
    {R"({"name": function name, "parameters")", "llama3_json", ""},
};

constexpr Trace kReasoningTraces[] = {
    {"</think>", "qwen3", ""},
    {"[THINK]", "mistral", ""},
    {"Here is my thought process:", "granite", ""},
};

template <typename Table>
auto* find_by_name(const Table& table, std::string_view name) {
  for (const auto& syntax : table) {
    if (syntax.name == name) return &syntax;
  }
  return static_cast<decltype(&table[0])>(nullptr);
}

template <size_t N>
std::string_view first_trace(const Trace (&traces)[N], std::string_view chat_template) {
  const auto has = [&](std::string_view what) {
    return chat_template.find(what) != std::string_view::npos;
  };
  for (const Trace& trace : traces) {
    if (has(trace.trace) && (trace.but.empty() || !has(trace.but))) return trace.syntax;
  }
  return {};
}

}  // namespace

const CallSyntax* find_call_syntax(std::string_view name) {
  return find_by_name(kCallSyntaxes, name);
}
const ReasoningSyntax* find_reasoning_syntax(std::string_view name) {
  return find_by_name(kReasoningSyntaxes, name);
}

const CallSyntax* call_syntax_of(std::string_view chat_template) {
  return find_call_syntax(first_trace(kCallTraces, chat_template));
}
const ReasoningSyntax* reasoning_syntax_of(std::string_view chat_template) {
  return find_reasoning_syntax(first_trace(kReasoningTraces, chat_template));
}

bool leaves_open(const ReasoningSyntax& syntax, std::string_view text) {
  const size_t open = text.rfind(syntax.open);
  if (open == std::string_view::npos) return false;
  return text.find(syntax.close, open) == std::string_view::npos;
}

}  // namespace sluice
