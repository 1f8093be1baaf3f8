#include "server/text/hf/unicode.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Unicode, FormsAreThoseOfTheStandard) {
  EXPECT_EQ(to_form("e\u0301\u0327", UnicodeForm::kNfc), "\u0229\u0301");
  EXPECT_EQ(to_form("\u00e9", UnicodeForm::kNfd), "e\u0301");
  EXPECT_EQ(to_form("\u1100\u1161\u11a8", UnicodeForm::kNfc), "\uac01");
  EXPECT_EQ(to_form("\ufb01\u00bd", UnicodeForm::kNfkc), "fi1\u20442");
  EXPECT_EQ(to_form("\u2126", UnicodeForm::kNfc), "\u03a9");
  EXPECT_EQ(to_form("\u01d5", UnicodeForm::kNfkd), "U\u0308\u0304");
  EXPECT_EQ(to_form("caf\u00e9", UnicodeForm::kNfc), "caf\u00e9");
}

TEST(Unicode, CaseMarksAndEnds) {
  EXPECT_EQ(to_lower("\u0130\u00c4\u03a3"), "i\u0307\u00e4\u03c3");
  EXPECT_EQ(without_marks("e\u0301\u0bbe"), "e");
  EXPECT_EQ(leading_spaces(" \u3000a"), 4U);
  EXPECT_EQ(trailing_spaces("a\u2028 "), 4U);
  EXPECT_EQ(trailing_spaces(" \n"), 2U);
  EXPECT_TRUE(starts_with_word("\u4e2d."));
  EXPECT_FALSE(ends_with_word("\u4e2d."));
  EXPECT_FALSE(starts_with_word(""));
}

}  // namespace
}  // namespace sluice
