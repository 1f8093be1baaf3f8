#include "server/text/sentencepiece_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>

namespace sluice {
namespace {

void put_le32(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

// A trie of 256 units that all lead back into it, and one empty text.
std::string sound_charsmap() {
  std::string blob(4 + 1024 + 1, '\0');
  put_le32(blob, 0, 1024);
  return blob;
}

TEST(SentencePieceCheck, AcceptsNoMapAndASoundOne) {
  EXPECT_TRUE(check_charsmap("").ok());
  EXPECT_TRUE(check_charsmap(sound_charsmap()).ok());
}

TEST(SentencePieceCheck, RefusesATrieThatIsCutOffOrOdd) {
  EXPECT_FALSE(check_charsmap("abc").ok());
  std::string blob = sound_charsmap();
  put_le32(blob, 0, 1025);
  EXPECT_FALSE(check_charsmap(blob).ok());
  put_le32(blob, 0, 0xFFFFFC00U);
  EXPECT_FALSE(check_charsmap(blob).ok());
  EXPECT_FALSE(check_charsmap(sound_charsmap().substr(0, 4 + 1024)).ok());
}

TEST(SentencePieceCheck, RefusesTextsWithoutAnEnd) {
  std::string blob = sound_charsmap();
  blob.back() = 'x';
  EXPECT_FALSE(check_charsmap(blob).ok());
}

TEST(SentencePieceCheck, RefusesUnitsThatPointOutside) {
  std::string leaf = sound_charsmap();
  put_le32(leaf, 4 + 4 * 7, 0x80000000U);  // text 0 of 1
  EXPECT_TRUE(check_charsmap(leaf).ok());
  put_le32(leaf, 4 + 4 * 7, 0x80000001U);  // text 1 of 1
  EXPECT_NE(check_charsmap(leaf).message().find("unit 7"), std::string::npos);

  std::string inner = sound_charsmap();
  put_le32(inner, 4 + 4 * 9, 256U << 10);
  EXPECT_NE(check_charsmap(inner).message().find("unit 9"), std::string::npos);
  put_le32(inner, 4 + 4 * 9, (1U << 10) | 512U);  // offset 1, scaled by 256
  EXPECT_FALSE(check_charsmap(inner).ok());
}

TEST(SentencePieceCheck, RefusesPiecesThatTheLibraryCannotHold) {
  EXPECT_TRUE(check_piece(3, "\xE2\x96\x81the", -1.5F).ok());
  EXPECT_FALSE(check_piece(3, "", 0).ok());
  EXPECT_FALSE(check_piece(3, std::string(kMaxPieceBytes, 'a'), 0).ok());
  EXPECT_FALSE(check_piece(3, std::string_view("a\0b", 3), 0).ok());
  EXPECT_FALSE(check_piece(3, "\xFF", 0).ok());
  EXPECT_FALSE(check_piece(3, "a", std::nanf("")).ok());
}

}  // namespace
}  // namespace sluice
