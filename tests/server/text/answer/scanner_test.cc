// JSON and Python's literals byte by byte, against whole parsers.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "server/text/answer/json_scanner.h"
#include "server/text/answer/python_value.h"
#include "server/text/answer/string_decoder.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

bool scans(std::string_view text) {
  JsonScanner scanner;
  JsonScanner::Step step = JsonScanner::Step::kMore;
  for (const char byte : text) {
    if (step == JsonScanner::Step::kDone) return false;
    step = scanner.feed(byte);
    if (step == JsonScanner::Step::kEnded) return false;
    if (step == JsonScanner::Step::kFail) return false;
  }
  return step == JsonScanner::Step::kDone || scanner.feed(' ') == JsonScanner::Step::kEnded;
}

TEST(JsonScanner, AgreesWithTheParser) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> pieces = {
      "{", "}", "[", "]",  ",", ":",  "\"a\"", "\"b\"", "\"\\n\"", "\"\\u00e9\"", "\"\\x\"",
      "1", "0", "-", ".5", "e", "+2", "true",  "null",  "nul",     "{\"a\":1}",   "[1,2]"};
  int good = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const size_t length = 1 + random() % 6;
    for (size_t i = 0; i < length; ++i) text += pieces[random() % pieces.size()];
    const Result<JsonValue> parsed = JsonValue::parse(text);
    const bool twice = !parsed.ok() && parsed.status().message().find("twice") != std::string::npos;
    if (twice) continue;  // the scanner keeps no keys
    ASSERT_EQ(scans(text), parsed.ok()) << text;
    good += parsed.ok() ? 1 : 0;
  }
  EXPECT_GT(good, 100);
}

TEST(JsonScanner, EndsAtItsDepth) {
  EXPECT_TRUE(scans(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']')));
  EXPECT_FALSE(scans(std::string(kMaxJsonDepth + 1, '[') + std::string(kMaxJsonDepth + 1, ']')));
}

std::string as_json(std::string_view python) {
  PythonValue value;
  std::string json;
  PythonValue::Step step = PythonValue::Step::kMore;
  for (const char byte : std::string(python) + ' ') {
    if (step == PythonValue::Step::kDone || step == PythonValue::Step::kEnded) break;
    step = value.feed(byte, json);
    if (step == PythonValue::Step::kFail) return "fail";
  }
  const bool over = step == PythonValue::Step::kDone || step == PythonValue::Step::kEnded;
  return over ? json : "open";
}

TEST(PythonValue, BecomesJson) {
  EXPECT_EQ(as_json("'a'"), R"("a")");
  EXPECT_EQ(as_json(R"("it's")"), R"("it's")");
  EXPECT_EQ(as_json(R"('"\'\\\n\t\d')"), R"("\"'\\\n\t\\d")");
  EXPECT_EQ(as_json(R"('\x41\u00e9\U0001F600\ud83d\ude00')"), "\"A\u00e9\U0001F600\U0001F600\"");
  EXPECT_EQ(as_json(R"('\ud83dx')"), "\"\uFFFDx\"");
  EXPECT_EQ(as_json("'a\nb'"), R"("a\nb")");
  EXPECT_EQ(as_json("12"), "12");
  EXPECT_EQ(as_json("+1.5e-3"), "1.5e-3");
  EXPECT_EQ(as_json("True"), "true");
  EXPECT_EQ(as_json("null"), "null");
  EXPECT_EQ(as_json("[ ]"), "[]");
  EXPECT_EQ(as_json("[1,'a', [None,] ,]"), R"([1, "a", [null]])");
  EXPECT_EQ(as_json("{'a' : 1, \"b\":{}}"), R"({"a": 1, "b": {}})");
}

TEST(PythonValue, RefusesWhatIsNoLiteral) {
  for (const char* text : {"x", "1_000", "01", "5.", "(1,)", "{1: 2}", "[,]", "[1 2]", "{'a'}",
                           "'\\xZZ'", "[}", "f()", ""}) {
    const std::string json = as_json(text);
    EXPECT_TRUE(json == "fail" || json == "open") << text << " -> " << json;
  }
  EXPECT_EQ(as_json(std::string(kMaxJsonDepth + 1, '[')), "fail");
}

std::string decoded(std::string_view text) {
  StringDecoder decoder;
  std::string out;
  for (const char byte : text) {
    const StringDecoder::Step step = decoder.feed(byte, out);
    if (step == StringDecoder::Step::kFail) return "fail";
    if (step == StringDecoder::Step::kDone) return out;
  }
  return "open";
}

TEST(StringDecoder, KnowsTheEscapes) {
  EXPECT_EQ(decoded(R"(a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
  EXPECT_EQ(decoded(R"(\u0041\ud83d\uDE00")"), "A\U0001F600");
  EXPECT_EQ(decoded(R"(\ud83d\n\ude00\ud83d")"), "\uFFFD\n\uFFFD\uFFFD");
  EXPECT_EQ(decoded(R"(\x)"), "fail");
  EXPECT_EQ(decoded(R"(\u00g0)"), "fail");
  EXPECT_EQ(decoded("abc"), "open");
}

}  // namespace
}  // namespace sluice
