// check_grammar_spec: what would not be enforced is refused, what is enforced is not.
#include "server/grammar/spec_checks.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

Status check_schema_text(const std::string& text) {
  return check_grammar_spec({.kind = GrammarSpec::Kind::kJsonSchema, .text = text});
}

std::string repeat(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(SpecChecks, SchemasOfWhatIsEnforcedPass) {
  for (const char* schema : {
           "{}",
           "true",
           R"({"type":"object"})",
           R"({"type":["string","null"],"maxLength":5})",
           R"({"title":"T","x-note":1,"nullable":true,"type":"integer","minimum":1,"maximum":9})",
           R"({"type":"integer","multipleOf":5})",
           R"({"type":"string","pattern":"^[a-z]+$"})",
           R"({"type":"string","format":"date-time"})",
           R"({"type":"array","items":{"type":"number"},"minItems":1,"maxItems":3})",
           R"({"type":"array","prefixItems":[{"type":"null"}],"items":false,"uniqueItems":false})",
           R"({"properties":{"a":{}},"required":["a"],"additionalProperties":false})",
           R"({"type":"object","additionalProperties":{"type":"string"}})",
           R"({"enum":["a",1,null]})",
           R"({"type":"string","enum":["a","b"],"default":"a"})",
           R"({"const":{"a":[1]}})",
           R"({"anyOf":[{"type":"string"},{"type":"null"}],"description":"d"})",
           R"({"allOf":[{"$ref":"#/$defs/x"}],"$defs":{"x":{"type":"null"}}})",
           R"({"oneOf":[{"type":"string"},{"type":"integer"}]})",
           R"({"oneOf":[{"const":"a"},{"enum":["b","c"]}]})",
           R"({"oneOf":[{"$ref":"#/$defs/c"},{"$ref":"#/$defs/d"}],"$defs":{)"
           R"("c":{"type":"object","properties":{"k":{"const":"c"}},"required":["k"]},)"
           R"("d":{"type":"object","properties":{"k":{"const":"d"}},"required":["k"]}}})",
           R"({"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}}}},)"
           R"("$ref":"#/$defs/n"})",
       }) {
    const Status status = check_schema_text(schema);
    EXPECT_TRUE(status.ok()) << schema << ": " << status.message();
  }
}

TEST(SpecChecks, SchemasOfWhatIsNotEnforcedAreRefusedWithTheWord) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"not":{}})", "\"not\""},
      {R"({"type":"object","properties":{"a":{"if":{}}}})", "/properties/a uses \"if\""},
      {R"({"type":"array","uniqueItems":true})", "uniqueItems"},
      {R"({"type":"array","contains":{}})", "contains"},
      {R"({"type":"object","patternProperties":{"a":{}}})", "patternProperties"},
      {R"({"type":"object","minProperties":1})", "minProperties"},
      {R"({"type":"object","required":["a"]})", "requires the string \"a\""},
      {R"({"type":"number","multipleOf":0.5})", "multipleOf"},
      {R"({"type":"integer","multipleOf":5,"minimum":3})", "multipleOf"},
      {R"({"type":"string","format":"color"})", "the format the string \"color\""},
      {R"({"type":"string","pattern":"a","maxLength":3})", "together"},
      {R"({"minimum":3})", "without a \"type\""},
      {R"({"type":"integer","anyOf":[{"minimum":3}]})", "beside \"anyOf\""},
      {R"({"$ref":"#/$defs/a","type":"null","$defs":{"a":{}}})", "beside \"$ref\""},
      {R"({"anyOf":[{}],"oneOf":[{}]})", "both"},
      {R"({"allOf":[{"type":"integer"},{"type":"integer","minimum":3}]})", "several"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "several of"},
      {R"({"oneOf":[{"type":"string"},{"const":"a"}]})", "several of"},
      {R"({"type":"string","enum":["a",1]})", "the number 1"},
      {R"({"$ref":"https://example.com/s.json"})", "refers to"},
      {R"({"type":"object","properties":{"a":{},"b":{"$ref":"#/properties/a"}}})", "refers to"},
      {R"({"$ref":"#/$defs/missing"})", "refers to"},
      {R"({"type":"strange"})", "\"type\""},
      {R"({"type":3})", "\"type\""},
      {R"({"anyOf":[]})", "array of schemas"},
      {R"({"type":"object","properties":{"a":false}})", "nothing fits"},
      {R"({"items":[{"type":"null"}]})", "no schema"},
      {R"([])", "no schema"},
      {R"({"type":"object",)", "not usable JSON"},
  };
  for (const auto& [schema, word] : cases) {
    const Status status = check_schema_text(schema);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << schema;
    EXPECT_NE(status.message().find(word), std::string::npos) << schema << ": " << status.message();
    EXPECT_EQ(status.field(), "response_format");
  }
}

TEST(SpecChecks, SchemasInsideOfTagsAreChecked) {
  const auto check = [](const std::string& schema) {
    return check_grammar_spec({.kind = GrammarSpec::Kind::kStructuralTag,
                               .text = R"({"type":"structural_tag","format":{"type":"sequence",)"
                                       R"("elements":[{"type":"tag","begin":"<","content":)"
                                       R"({"type":"json_schema","json_schema":)" +
                                       schema + R"(},"end":">"}]}})"});
  };
  EXPECT_TRUE(check(R"({"type":"null"})").ok());
  EXPECT_FALSE(check(R"({"not":{}})").ok());
}

TEST(SpecChecks, WhatTakesLongToCompileIsTooLarge) {
  const std::string deep = repeat(R"({"type":"array","items":)", 70) + "{}" + repeat("}", 70);
  EXPECT_FALSE(check_schema_text(deep).ok());
  EXPECT_FALSE(check_schema_text(R"({"enum":[)" + repeat("1,", 1000) + "1]}").ok());
  EXPECT_FALSE(check_schema_text(R"({"anyOf":[)" + repeat("{},", 2000) + "{}]}").ok());
  EXPECT_FALSE(check_schema_text(R"({"const":")" + repeat("a", 1 << 16) + "\"}").ok());
  const auto check = [](GrammarSpec::Kind kind, const std::string& text) {
    return check_grammar_spec({.kind = kind, .text = text}).code();
  };
  using Kind = GrammarSpec::Kind;
  EXPECT_EQ(check(Kind::kRegex, repeat("a", 9000)), StatusCode::kInvalidArgument);
  EXPECT_EQ(check(Kind::kRegex, repeat("(", 65) + repeat(")", 65)), StatusCode::kInvalidArgument);
  EXPECT_EQ(check(Kind::kRegex, "\xff"), StatusCode::kInvalidArgument);
  EXPECT_EQ(check(Kind::kEbnf, "root ::= " + repeat("(", 65) + "\"a\"" + repeat(")", 65)),
            StatusCode::kInvalidArgument);
  const auto choices = [](std::vector<std::string> texts) {
    return check_grammar_spec({.kind = Kind::kChoice, .choices = std::move(texts)}).ok();
  };
  EXPECT_FALSE(choices({}));
  EXPECT_FALSE(choices(std::vector<std::string>(1001, "a")));
  EXPECT_FALSE(choices({std::string(1 << 17, 'a')}));
  EXPECT_FALSE(choices({std::string(1, '\0')}));
  EXPECT_TRUE(choices({"a", ""}));
}

}  // namespace
}  // namespace sluice
