#include "server/text/utf8.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Utf8, AcceptsTheBordersOfEveryLength) {
  EXPECT_FALSE(find_invalid_utf8(""));
  EXPECT_FALSE(find_invalid_utf8(std::string_view("\0\x7F", 2)));
  EXPECT_FALSE(find_invalid_utf8("\xC2\x80\xDF\xBF"));
  EXPECT_FALSE(find_invalid_utf8("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"));
  EXPECT_FALSE(find_invalid_utf8("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
}

TEST(Utf8, NamesTheOffsetOfTheFirstBadByte) {
  EXPECT_EQ(find_invalid_utf8("ab\xFF"), 2U);
  EXPECT_EQ(find_invalid_utf8("\xC0\xAF"), 0U);          // overlong
  EXPECT_EQ(find_invalid_utf8("a\xE0\x9F\x80"), 1U);     // overlong
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0U);      // surrogate
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0U);  // past U+10FFFF
  EXPECT_EQ(find_invalid_utf8("\x80"), 0U);              // continuation without a lead
  EXPECT_EQ(find_invalid_utf8("abc\xE4\xB8"), 3U);       // cut off
}

TEST(Utf8, TellsACutCodePointFromABrokenOne) {
  EXPECT_EQ(utf8_step("\xF0\x9F\x99").kind, Utf8Step::Kind::kIncomplete);
  EXPECT_EQ(utf8_step("\xF0\x9F\x99").length, 3U);
  EXPECT_EQ(utf8_step("\xF0\x9F\x41").kind, Utf8Step::Kind::kInvalid);
  EXPECT_EQ(utf8_step("\xF0\x9F\x41").length, 2U);
  EXPECT_EQ(utf8_step("\xF0\x9F\x99\x82z").length, 4U);
}

// As Python's bytes.decode("utf-8", "replace") and the WHATWG decoder.
TEST(Utf8, ReplacesEachMaximalInvalidPartOnce) {
  EXPECT_EQ(to_valid_utf8("a\xF0\x9F\x99z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(to_valid_utf8("\xE0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(to_valid_utf8("\xE4\xB8"), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace sluice
