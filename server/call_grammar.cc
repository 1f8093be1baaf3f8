// Forms of calls as structural tags of XGrammar: begin, schema, end.
#include "server/call_grammar.h"

#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "server/grammar/spec_checks.h"
#include "server/text/json_text.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

// How a format writes calls, one by one and together.
struct CallForm {
  std::string_view before;   // the first call
  std::string_view begin;    // a call, up to its name
  std::string_view then;     // from the name to the arguments
  std::string_view end;      // behind the arguments
  std::string_view between;  // two calls
  std::string_view after;    // the last call
  std::string_view trigger;  // what a call in free text begins with; empty: free text has none
};

constexpr CallForm kHermesForm = {.before = "",
                                  .begin = "<tool_call>\n{\"name\": \"",
                                  .then = "\", \"arguments\": ",
                                  .end = "}\n</tool_call>",
                                  .between = "\n",
                                  .after = "",
                                  .trigger = "<tool_call>"};
constexpr CallForm kLlama3Form = {.before = "",
                                  .begin = "{\"name\": \"",
                                  .then = "\", \"parameters\": ",
                                  .end = "}",
                                  .between = "; ",
                                  .after = "",
                                  .trigger = "{\"name\": \""};
constexpr CallForm kMistralForm = {.before = "[TOOL_CALLS] [",
                                   .begin = "{\"name\": \"",
                                   .then = "\", \"arguments\": ",
                                   .end = "}",
                                   .between = ", ",
                                   .after = "]",
                                   .trigger = ""};

// Null: Python's calls have no JSON schema.
const CallForm* form_of(const CallSyntax* syntax) {
  if (syntax == nullptr || syntax->body == CallSyntax::Body::kPython) return nullptr;
  if (syntax->body == CallSyntax::Body::kNamed) return &kMistralForm;
  return syntax->bare ? &kLlama3Form : &kHermesForm;
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(&out, text);
  return out;
}

std::string const_string(std::string_view text) {
  return str(R"({"type":"const_string","value":)", quoted(text), "}");
}

// Whether calls of `tool` are held to its schema: as it says, else where calls are forced.
bool is_held(const JsonValue& tool, bool forced) {
  const JsonValue* strict = tool.find("function")->find("strict");
  return strict == nullptr || strict->is_null() ? forced : *strict->as_bool();
}

// A tool without parameters takes none.
std::string schema_of(const JsonValue& tool) {
  const JsonValue* parameters = tool.find("function")->find("parameters");
  if (parameters == nullptr || parameters->is_null()) {
    return R"({"type":"object","properties":{},"additionalProperties":false})";
  }
  std::string schema;
  append_json(&schema, *parameters);
  return schema;
}

// One tool's calls. White space is bounded, as nothing else ends what a small model likes to
// repeat.
std::string tag_of(const JsonValue& tool, const CallForm& form, bool held) {
  const std::string& name = *tool.find("function")->find("name")->as_string();
  const std::string begin = str(form.begin, name, form.then);
  return str(R"({"type":"tag","begin":)", quoted(begin),
             R"(,"content":{"type":"json_schema","max_whitespace_cnt":2,"json_schema":)",
             held ? schema_of(tool) : R"({"type":"object"})", R"(},"end":)", quoted(form.end), "}");
}

bool may_be_called(const GenerateCall& call, const JsonValue& tool) {
  const std::string& name = *tool.find("function")->find("name")->as_string();
  return call.required_tool.empty() || name == call.required_tool;
}

// What cannot be enforced of the schemas that calls are held to.
Status check_schemas(const GenerateCall& call, bool forced) {
  const JsonValue::Array& tools = *call.tools->as_array();
  for (size_t i = 0; i < tools.size(); ++i) {
    if (!may_be_called(call, tools[i]) || !is_held(tools[i], forced)) continue;
    GrammarSpec schema;
    schema.kind = GrammarSpec::Kind::kJsonSchema;
    schema.text = schema_of(tools[i]);
    schema.field = str("tools[", i, "].function.parameters");
    SLUICE_RETURN_IF_ERROR(check_grammar_spec(schema));
  }
  return {};
}

// Nothing but calls: one or more, of one tool or any.
std::string only_calls(const GenerateCall& call, const CallForm& form) {
  std::string tags;
  for (const JsonValue& tool : *call.tools->as_array()) {
    if (!may_be_called(call, tool)) continue;
    tags.append(tags.empty() ? "" : ",").append(tag_of(tool, form, is_held(tool, true)));
  }
  const bool one = !call.parallel_tool_calls || !call.required_tool.empty();
  std::string out = str(R"({"type":"tags_with_separator","tags":[)", tags, R"(],"separator":)",
                        quoted(form.between), R"(,"at_least_one":true,"stop_after_first":)",
                        one ? "true" : "false", "}");
  if (!form.before.empty()) out = str(const_string(form.before), ",", out);
  if (!form.after.empty()) out = str(out, ",", const_string(form.after));
  return out;
}

// Free text, in which calls of strict tools fit their schemas.
std::string calls_in_text(const GenerateCall& call, const CallForm& form) {
  std::string tags;
  for (const JsonValue& tool : *call.tools->as_array()) {
    tags.append(tags.empty() ? "" : ",").append(tag_of(tool, form, is_held(tool, false)));
  }
  return str(R"({"type":"triggered_tags","triggers":[)", quoted(form.trigger), R"(],"tags":[)",
             tags, R"(],"at_least_one":false,"stop_after_first":)",
             call.parallel_tool_calls ? "false" : "true", "}");
}

// What comes before the answer, with the comma behind it.
std::string reasoning_part(const ReasoningSyntax* syntax, bool opened) {
  if (syntax == nullptr) return {};
  const bool inside = opened || syntax->opened;
  const std::string tag =
      str(R"({"type":"tag","begin":)", quoted(inside ? "" : syntax->open),
          R"(,"content":{"type":"any_text"},"end":)", quoted(syntax->close), "}");
  const std::string space = str(R"({"type":"optional","content":)", const_string("\n\n"), "}");
  if (inside) return str(tag, ",", space, ",");
  return str(R"({"type":"optional","content":{"type":"sequence","elements":[)", tag, ",", space,
             "]}},");
}

}  // namespace

Result<std::optional<GrammarSpec>> call_grammar(const GenerateCall& call,
                                                const AnswerFormat& format, bool reasoning_opened) {
  const bool forced = call.tool_choice == ToolChoice::kRequired;
  if (call.tools == nullptr || call.tool_choice == ToolChoice::kNone) return {std::nullopt};
  const JsonValue::Array& tools = *call.tools->as_array();
  size_t strict = 0;
  while (strict < tools.size() && !is_held(tools[strict], false)) ++strict;
  if (!forced && strict == tools.size()) return {std::nullopt};
  const CallForm* form = form_of(format.calls);
  if (forced && form == nullptr) {
    return Status(
        StatusCode::kUnimplemented,
        "tool_choice: calls of this model cannot be forced, as its chat template shows no "
        "form of them in JSON; use \"auto\", or name one with --tool-call-parser",
        "tool_choice");
  }
  // A marker that is a token of its own is no text, and text alone can be given a form.
  if (!forced && (form == nullptr || form->trigger.empty() || !format.call_tokens.empty())) {
    const std::string field = str("tools[", strict, "].function.strict");
    return Status(StatusCode::kUnimplemented,
                  str(field,
                      ": not enforced for this model's form of calls where tool_choice is "
                      "\"auto\"; use \"required\", or leave it out"),
                  field);
  }
  SLUICE_RETURN_IF_ERROR(check_schemas(call, forced));
  GrammarSpec spec;
  spec.kind = GrammarSpec::Kind::kStructuralTag;
  spec.field = forced ? "tool_choice" : "tools";
  spec.text = str(R"({"type":"structural_tag","format":{"type":"sequence","elements":[)",
                  reasoning_part(format.reasoning, reasoning_opened),
                  forced ? only_calls(call, *form) : calls_in_text(call, *form), "]}}");
  return {std::move(spec)};
}

}  // namespace sluice
