// check_grammar_spec: sizes first, then the words of schemas.
#include "server/grammar/spec_checks.h"

#include <algorithm>

#include "base/text.h"
#include "server/grammar/schema_checks.h"
#include "server/text/json_value.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

Status check_size(const GrammarSpec& spec, size_t bytes, size_t limit) {
  if (bytes <= limit) return {};
  return invalid_argument(str(spec.field, " has ", bytes, " bytes; the limit is ", limit),
                          spec.field);
}

Status check_choices(const GrammarSpec& spec) {
  if (spec.choices.empty() || spec.choices.size() > kMaxChoiceTexts) {
    return invalid_argument(str(spec.field, " has ", spec.choices.size(), " texts; 1 to ",
                                kMaxChoiceTexts, " are allowed"),
                            spec.field);
  }
  size_t bytes = 0;
  for (const std::string& choice : spec.choices) {
    bytes += choice.size();
    if (find_invalid_utf8(choice) || choice.find('\0') != std::string::npos) {
      return invalid_argument(
          str(spec.field, " holds a text that is not UTF-8, or has a zero byte"), spec.field);
    }
  }
  return check_size(spec, bytes, kMaxGrammarBytes);
}

// Groups in groups, whether a bracket is escaped or in a class: an upper bound.
Status check_depth(const GrammarSpec& spec) {
  size_t depth = 0;
  size_t deepest = 0;
  for (const char c : spec.text) {
    if (c == '(') deepest = std::max(deepest, ++depth);
    if (c == ')' && depth > 0) --depth;
  }
  if (deepest <= kMaxRegexDepth) return {};
  return invalid_argument(
      str(spec.field, " has groups ", deepest, " deep; the limit is ", kMaxRegexDepth), spec.field);
}

// Every schema in a structural tag. The tag itself is made by this server.
Status check_tag(const JsonValue& tag, const std::string& field) {
  if (const JsonValue::Array* elements = tag.as_array()) {
    for (const JsonValue& element : *elements) SLUICE_RETURN_IF_ERROR(check_tag(element, field));
  }
  if (tag.as_object() == nullptr) return {};
  for (const auto& [name, member] : *tag.as_object()) {
    SLUICE_RETURN_IF_ERROR(name == "json_schema" ? check_schema(member, field)
                                                 : check_tag(member, field));
  }
  return {};
}

}  // namespace

Status check_grammar_spec(const GrammarSpec& spec) {
  if (spec.kind == GrammarSpec::Kind::kChoice) return check_choices(spec);
  if (spec.kind == GrammarSpec::Kind::kJsonObject) return {};
  const bool is_regex = spec.kind == GrammarSpec::Kind::kRegex;
  SLUICE_RETURN_IF_ERROR(
      check_size(spec, spec.text.size(), is_regex ? kMaxRegexBytes : kMaxGrammarBytes));
  if (find_invalid_utf8(spec.text)) {
    return invalid_argument(spec.field + " is not valid UTF-8", spec.field);
  }
  if (is_regex || spec.kind == GrammarSpec::Kind::kEbnf) return check_depth(spec);
  const Result<JsonValue> json = JsonValue::parse(spec.text);
  if (!json.ok()) {
    return invalid_argument(
        str(spec.field, ": the schema is not usable JSON: ", json.status().message()), spec.field);
  }
  return spec.kind == GrammarSpec::Kind::kJsonSchema ? check_schema(json.value(), spec.field)
                                                     : check_tag(json.value(), spec.field);
}

}  // namespace sluice
