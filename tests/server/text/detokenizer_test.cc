#include "server/text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "server/text/utf8.h"
#include "tests/server/text/fake_tokenizer.h"

namespace sluice {
namespace {

std::vector<TokenId> ids_of(std::string_view bytes) {
  std::vector<TokenId> ids;
  for (const char c : bytes) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

std::string push_all(Detokenizer& detokenizer, const std::vector<TokenId>& ids) {
  std::string text;
  for (const TokenId id : ids) detokenizer.push(id, text);
  return text;
}

TEST(Detokenizer, HoldsBackACodePointUntilItsLastByte) {
  const FakeTokenizer tokenizer = FakeTokenizer::bytes({});
  Detokenizer detokenizer(tokenizer, true, false);
  EXPECT_EQ(push_all(detokenizer, ids_of("a\xE4\xB8")), "a");
  EXPECT_EQ(push_all(detokenizer, ids_of("\xAD")), "\xE4\xB8\xAD");
}

TEST(Detokenizer, ReplacesInvalidBytesOnlyOnceTheyAreCertain) {
  const FakeTokenizer tokenizer = FakeTokenizer::bytes({});
  Detokenizer detokenizer(tokenizer, true, false);
  EXPECT_EQ(push_all(detokenizer, ids_of("\xF0\x9F")), "");
  EXPECT_EQ(push_all(detokenizer, ids_of("z\xFF")), "\xEF\xBF\xBDz\xEF\xBF\xBD");
}

TEST(Detokenizer, FinishReplacesAHalfCodePointOnce) {
  const FakeTokenizer tokenizer = FakeTokenizer::bytes({});
  Detokenizer detokenizer(tokenizer, true, false);
  std::string text = push_all(detokenizer, ids_of("ok\xF0\x9F\x99"));
  detokenizer.finish(text);
  detokenizer.finish(text);
  EXPECT_EQ(text, "ok\xEF\xBF\xBD");
}

TEST(Detokenizer, ControlTokensHaveTextOnlyWhenKept) {
  const FakeTokenizer tokenizer({"a", "<|end|>"}, 1);
  EXPECT_EQ(decode(tokenizer, {0, 1, 0}, true), "aa");
  EXPECT_EQ(decode(tokenizer, {0, 1, 0}, false), "a<|end|>a");
}

TEST(Detokenizer, DropsTheTokenizersLeadingSpaceOnlyAtTheStart) {
  const FakeTokenizer tokenizer({" a", " ", "<s>"}, 1, /*leading_space=*/true);
  EXPECT_EQ(decode(tokenizer, {2, 0, 0}, true), "a a");
  EXPECT_EQ(decode(tokenizer, {1, 0}, true), " a");
  Detokenizer continued(tokenizer, true, /*at_start=*/false);
  EXPECT_EQ(push_all(continued, {0}), " a");
}

// Any bytes, cut anywhere: always valid UTF-8, and equal to the replacement of the whole.
TEST(Detokenizer, EveryPrefixIsValidAndTheWholeEqualsTheReference) {
  const unsigned seed = 20240917;
  std::mt19937 random(seed);
  const FakeTokenizer tokenizer = FakeTokenizer::bytes({});
  const std::string alphabet = "a\x80\xBF\xC3\xE4\xB8\xAD\xED\xA0\xF0\x9F\x99\x82\xF4\xFF";
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    const size_t length = random() % 24;
    while (bytes.size() < length) bytes += alphabet[random() % alphabet.size()];
    Detokenizer detokenizer(tokenizer, true, false);
    std::string text;
    for (const TokenId id : ids_of(bytes)) {
      detokenizer.push(id, text);
      ASSERT_FALSE(find_invalid_utf8(text)) << "seed " << seed << " round " << round;
    }
    detokenizer.finish(text);
    ASSERT_EQ(text, to_valid_utf8(bytes)) << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace sluice
