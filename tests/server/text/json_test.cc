// JSON in and out: bounds, refusals, escaping.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "server/text/json_text.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

std::string failure(std::string_view text) {
  const Result<JsonValue> parsed = JsonValue::parse(text);
  return parsed.ok() ? "parsed" : parsed.status().message();
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

std::string json_of(std::string_view text) {
  std::string out;
  append_json_string(&out, text);
  return out;
}

std::string number(float value) {
  std::string out;
  append_json(&out, value);
  return out;
}

TEST(JsonValue, KeepsKindsAndOrder) {
  const Result<JsonValue> parsed =
      JsonValue::parse(R"({"b":[1,-2,2.5,1e2],"a":{"t":true,"n":null},"s":"\u00e9\n"})");
  ASSERT_TRUE(parsed.ok());
  const JsonValue::Array& list = *parsed->find("b")->as_array();
  EXPECT_EQ(*list[0].as_integer(), 1);
  EXPECT_EQ(*list[1].as_integer(), -2);
  EXPECT_EQ(*list[2].as_float(), 2.5);
  EXPECT_EQ(*list[3].as_float(), 100.0);
  EXPECT_EQ(list[3].as_integer(), nullptr);
  EXPECT_TRUE(*parsed->find("a")->find("t")->as_bool());
  EXPECT_TRUE(parsed->find("a")->find("n")->is_null());
  EXPECT_EQ(*parsed->find("s")->as_string(), "\xC3\xA9\n");
  EXPECT_EQ(parsed->as_object()->front().first, "b");
  EXPECT_EQ(parsed->find("missing"), nullptr);
}

TEST(JsonValue, BoundsTheDepth) {
  EXPECT_EQ(failure(nested(kMaxJsonDepth)), "parsed");
  EXPECT_NE(failure(nested(kMaxJsonDepth + 1)).find("nested deeper than 64"), std::string::npos);
  EXPECT_NE(failure(nested(200'000)).find("nested deeper than 64"), std::string::npos);
  std::string objects;
  for (int i = 0; i < 10'000; ++i) objects += R"({"a":)";
  EXPECT_NE(failure(objects).find("nested deeper than 64"), std::string::npos);
}

TEST(JsonValue, RefusesWhatIsNoJson) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1,]",
                           "{'a':1}",
                           "{\"a\":1}x",
                           "nul",
                           "NaN",
                           "[Infinity]",
                           "[-Infinity]",
                           "[01]",
                           "[+1]",
                           "[1.]",
                           "[\"\x01\"]",
                           "[\"\\x\"]",
                           "[\"\\ud800\"]",
                           "[\"\xC3\"]",
                           "[\"\xC0\xAF\"]",
                           "[\"\xED\xA0\x80\"]",
                           "[\"\xFF\"]",
                           "/**/1"}) {
    EXPECT_NE(failure(text).find("not valid JSON: syntax or encoding error at byte"),
              std::string::npos)
        << text << ": " << failure(text);
  }
}

TEST(JsonValue, RefusesNumbersThatItCannotHold) {
  EXPECT_EQ(failure("[9223372036854775807,-9223372036854775808]"), "parsed");
  EXPECT_NE(failure("[9223372036854775808]").find("beyond 64 bits"), std::string::npos);
  EXPECT_NE(failure("[-9223372036854775809]").find("beyond 64 bits"), std::string::npos);
  EXPECT_NE(failure("[99999999999999999999999]").find("beyond 64 bits"), std::string::npos);
  EXPECT_NE(failure("[1e999]").find("beyond a double"), std::string::npos);
}

TEST(JsonValue, RefusesAKeyTwice) {
  EXPECT_NE(failure(R"({"a":1,"b":2,"a":3})").find("the key \"a\" stands twice"),
            std::string::npos);
  EXPECT_EQ(failure(R"({"a":{"a":1},"b":{"a":2}})"), "parsed");
}

TEST(JsonValue, DescribesItselfBriefly) {
  const auto describe = [](std::string_view text) {
    return JsonValue::parse(text).value().describe();
  };
  EXPECT_EQ(describe("\"hot\""), "the string \"hot\"");
  EXPECT_EQ(describe("1.5"), "the number 1.5");
  EXPECT_EQ(describe("null"), "null");
  EXPECT_EQ(describe("[1]"), "an array");
  EXPECT_EQ(describe("{}"), "an object");
  EXPECT_LT(describe("\"" + std::string(5000, 'x') + "\"").size(), 80U);
}

TEST(JsonText, EscapesAndRepairs) {
  EXPECT_EQ(json_of("plain"), "\"plain\"");
  EXPECT_EQ(json_of("a\"b\\c\n\r\t\x01\x1f"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\"");
  EXPECT_EQ(json_of("\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80"),
            "\"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\"");
  EXPECT_EQ(json_of("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
  EXPECT_EQ(json_of("a\xE4\xB8"), "\"a\xEF\xBF\xBD\"");
  EXPECT_EQ(json_of(std::string_view("\0", 1)), "\"\\u0000\"");
}

TEST(JsonText, ReadsBackWhatItWrote) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const Result<JsonValue> parsed = JsonValue::parse(json_of(all));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->as_string()->substr(0, 128), all.substr(0, 128));
}

TEST(JsonText, WritesNumbersThatJsonHas) {
  EXPECT_EQ(number(-0.5F), "-0.5");
  EXPECT_EQ(number(0.1F), "0.1");
  EXPECT_EQ(number(-std::numeric_limits<float>::infinity()), "-9999.0");
  EXPECT_EQ(number(std::numeric_limits<float>::quiet_NaN()), "-9999.0");
  std::string out;
  append_json(&out, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(out, "-9223372036854775808");
}

TEST(JsonText, WritesValuesAsTheyWereRead) {
  for (const char* text : {"null", "true", "-5", "1.5", "1e+300", "\"a\\n\"", "[]", "{}",
                           R"([1,[true,null],{"b":{},"a":"x"}])"}) {
    std::string out;
    append_json(&out, JsonValue::parse(text).value());
    EXPECT_EQ(out, text);
  }
}

}  // namespace
}  // namespace sluice
