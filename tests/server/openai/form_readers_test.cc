// Which form of answers the fields of a request ask for.
#include <gtest/gtest.h>

#include "server/openai/api_request.h"

namespace sluice {
namespace {

Result<ApiRequest> parse(const std::string& field) {
  return parse_completion_request(R"({"prompt":"x",)" + field + "}", SamplingParams(), 1);
}

GrammarSpec form_of(const std::string& field) {
  const Result<ApiRequest> request = parse(field);
  EXPECT_TRUE(request.ok()) << field << ": " << request.status().message();
  if (!request.ok()) return {};
  EXPECT_TRUE(request->call.grammar.has_value()) << field;
  return request->call.grammar.value_or(GrammarSpec());
}

TEST(FormReaders, EachFieldAsksForItsForm) {
  using Kind = GrammarSpec::Kind;
  const struct {
    const char* field;
    Kind kind;
    const char* text;
    const char* named;
  } cases[] = {
      {R"("response_format":{"type":"json_object"})", Kind::kJsonObject, "", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,)"
       R"("schema":{"type": "array", "maxItems":2}}})",
       Kind::kJsonSchema, R"({"type":"array","maxItems":2})", "response_format"},
      {R"("structured_outputs":{"json":{"type":"null"}})", Kind::kJsonSchema, R"({"type":"null"})",
       "structured_outputs.json"},
      {R"("structured_outputs":{"regex":"[ab]","json":null})", Kind::kRegex, "[ab]",
       "structured_outputs.regex"},
      {R"("structured_outputs":{"grammar":"root ::= \"a\""})", Kind::kEbnf, "root ::= \"a\"",
       "structured_outputs.grammar"},
      {R"("structured_outputs":{"json_object":true})", Kind::kJsonObject, "",
       "structured_outputs.json_object"},
      {R"("guided_json":"{\"type\":\"null\"}")", Kind::kJsonSchema, R"({"type":"null"})",
       "guided_json"},
      {R"("guided_regex":"a+")", Kind::kRegex, "a+", "guided_regex"},
      {R"("guided_grammar":"root ::= \"a\"")", Kind::kEbnf, "root ::= \"a\"", "guided_grammar"},
  };
  for (const auto& wanted : cases) {
    const GrammarSpec form = form_of(wanted.field);
    EXPECT_EQ(form.kind, wanted.kind) << wanted.field;
    EXPECT_EQ(form.text, wanted.text);
    EXPECT_EQ(form.field, wanted.named);
  }
  const GrammarSpec choice = form_of(R"("guided_choice":["yes","no"])");
  EXPECT_EQ(choice.kind, Kind::kChoice);
  EXPECT_EQ(choice.choices, (std::vector<std::string>{"yes", "no"}));
}

TEST(FormReaders, NothingAskedForIsNoForm) {
  for (const char* field :
       {R"("response_format":{"type":"text"})", R"("response_format":null)",
        R"("structured_outputs":{})", R"("structured_outputs":null)", R"("guided_json":null)",
        R"("structured_outputs":{"json_object":false})"}) {
    const Result<ApiRequest> request = parse(field);
    ASSERT_TRUE(request.ok()) << field << ": " << request.status().message();
    EXPECT_FALSE(request->call.grammar) << field;
  }
}

TEST(FormReaders, WhatIsNoFormIsRefusedByName) {
  const struct {
    const char* field;
    const char* named;
    const char* says;
  } cases[] = {
      {R"("response_format":{"type":"xml"})", "response_format", "xml"},
      {R"("response_format":{"type":"json_schema"})", "response_format", "needs an object"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":3}})", "response_format",
       "expected a JSON schema"},
      {R"("structured_outputs":{"json":{},"regex":"a"})", "structured_outputs.regex", "send one"},
      {R"("guided_choice":["a"],"response_format":{"type":"json_object"})", "response_format",
       "send one"},
      {R"("structured_outputs":{"structural_tag":"x"})", "structured_outputs.structural_tag",
       "not supported"},
      {R"("structured_outputs":["a"])", "structured_outputs", "expected an object"},
      {R"("guided_regex":"")", "guided_regex", "not empty"},
      {R"("guided_choice":[])", "guided_choice", "an array of strings"},
      {R"("guided_choice":["a",1])", "guided_choice", "an array of strings"},
  };
  for (const auto& wrong : cases) {
    const Result<ApiRequest> request = parse(wrong.field);
    ASSERT_FALSE(request.ok()) << wrong.field;
    EXPECT_NE(request.status().message().find(wrong.says), std::string::npos)
        << request.status().message();
    if (std::string(wrong.says) == "send one") continue;  // either of the two may be named
    EXPECT_EQ(request.status().field(), wrong.named);
  }
}

}  // namespace
}  // namespace sluice
