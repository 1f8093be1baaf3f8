#include "server/text/hf/regex.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const Result<Regex> regex = Regex::compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status().message();
  std::vector<Span> spans;
  Regex::Matcher(regex.value()).find_all(text, spans);
  std::vector<std::string> found;
  for (const Span& span : spans) found.push_back(text.substr(span.begin, span.end - span.begin));
  return found;
}

using Texts = std::vector<std::string>;

TEST(Regex, ClassesAreOnigurumas) {
  EXPECT_EQ(matches(R"(\s)", "a\u180e\u3000b\u0085"), (Texts{"\u3000", "\u0085"}));
  EXPECT_EQ(matches(R"(\w+)", "a\u0301_b-c"), (Texts{"a\u0301_b", "c"}));
  EXPECT_EQ(matches(R"([\w.]+)", "a.b c"), (Texts{"a.b", "c"}));
  EXPECT_EQ(matches(R"(\d+)", "12\u0663x\u00bd"), (Texts{"12\u0663"}));
  EXPECT_EQ(matches(R"(\h+)", "fg0"), (Texts{"f", "0"}));
  EXPECT_EQ(matches(R"([\u4e00-\u9fa5]+)", "a\u4e2d"), (Texts{"\u4e2d"}));
}

TEST(Regex, LineEndsAreRubys) { EXPECT_EQ(matches(R"(\w$)", "ab\ncd"), (Texts{"b", "d"})); }

TEST(Regex, TrailingSpacesAreFoundInLinearTime) {
  EXPECT_EQ(matches(R"(\s+$)", "a  b \t\n  \nc "), (Texts{" \t\n  ", " "}));
  const std::string spaces(1 << 20, ' ');
  EXPECT_EQ(matches(R"(\s+$)", spaces + "x"), Texts{});
  EXPECT_EQ(matches(R"(\s+$)", "x" + spaces), Texts{spaces});
}

TEST(Regex, WhatTheEnginesReadDifferentlyIsRefused) {
  for (const char* pattern : {"[a[b]]", "[a&&b]", R"(\bx)", R"((a)\1)", "(?m:.)", R"(\d{1,3}+)",
                              "a*", "(", R"([\W])", "(?<name>a)", R"(\pL)"}) {
    const Result<Regex> regex = Regex::compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_TRUE(regex.status().message().starts_with("the pattern ")) << regex.status().message();
  }
}

TEST(Regex, APatternThatExplodesEndsAtTheLimit) {
  const Result<Regex> regex = Regex::compile("(?:a+)+[bc]");
  ASSERT_TRUE(regex.ok());
  std::vector<Span> spans;
  EXPECT_THROW(Regex::Matcher(regex.value()).find_all(std::string(60, 'a'), spans), InternalError);
}

}  // namespace
}  // namespace sluice
