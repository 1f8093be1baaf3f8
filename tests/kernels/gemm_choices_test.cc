// The CUDA backend's choices of kernels for products, on the host: buckets, the bound, the file.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "kernels/cuda/gemm/choices.h"

namespace sluice::cuda {
namespace {

constexpr const char* kMachine = "Some Card, 132 SMs, cuBLASLt 130002";

GemmShape shape(int64_t rows, int64_t weight_rows = 6144) {
  return {.row_bucket = row_bucket(rows), .weight_rows = weight_rows, .cols = 4096};
}

GemmChoices two_choices() {
  GemmChoices choices;
  choices.add(shape(64), RingCut{.tile_rows = 48, .slices = 2, .stages = 4});
  choices.add(shape(2048), DenseAlgorithm{{1, 2, 3, 0xffffffffffffffffU, 5, 6, 7, 8}});
  return choices;
}

TEST(GemmChoices, RowCountsOfABucketShareAChoice) {
  EXPECT_EQ(row_bucket(1), 16);
  EXPECT_EQ(row_bucket(16), 16);
  EXPECT_EQ(row_bucket(17), 32);
  EXPECT_EQ(row_bucket(64), 64);
  EXPECT_EQ(row_bucket(1025), 2048);
  const GemmChoices choices = two_choices();
  EXPECT_EQ(choices.find(shape(33)), choices.find(shape(64)));
  EXPECT_EQ(choices.find(shape(65)), nullptr);
  EXPECT_EQ(choices.find(shape(64, 6145)), nullptr);
}

TEST(GemmChoices, TextGivesBackWhatWasChosen) {
  const std::string text = two_choices().text(kMachine);
  const Result<GemmChoices> read = GemmChoices::parse(text, kMachine);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->size(), 2U);
  EXPECT_EQ(read->text(kMachine), text);
  EXPECT_EQ(*read->find(shape(64)), *two_choices().find(shape(64)));
  EXPECT_EQ(*read->find(shape(2048)), *two_choices().find(shape(2048)));
}

TEST(GemmChoices, AnotherMachineIsRefused) {
  const std::string text = two_choices().text(kMachine);
  const Result<GemmChoices> read = GemmChoices::parse(text, "Some Card, 132 SMs, cuBLASLt 130003");
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.status().message().find("130003"), std::string::npos);
}

TEST(GemmChoices, AnyChangedByteIsRefused) {
  const std::string text = two_choices().text(kMachine);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(GemmChoices::parse(changed, kMachine).ok()) << "byte " << i;
    EXPECT_FALSE(GemmChoices::parse(text.substr(0, i), kMachine).ok()) << "first " << i;
  }
}

// A line that the checksum covers and no kernel takes.
TEST(GemmChoices, ImpossibleCutsAreRefused) {
  for (const RingCut cut : {RingCut{.tile_rows = 24, .slices = 1, .stages = 4},
                            RingCut{.tile_rows = 144, .slices = 1, .stages = 4},
                            RingCut{.tile_rows = 64, .slices = 9, .stages = 4},
                            RingCut{.tile_rows = 64, .slices = 1, .stages = 100}}) {
    GemmChoices choices;
    choices.add(shape(16), cut);
    EXPECT_FALSE(GemmChoices::parse(choices.text(kMachine), kMachine).ok());
  }
}

TEST(GemmChoices, TheNumberIsBounded) {
  GemmChoices choices;
  for (size_t i = 0; i < GemmChoices::kMaxChoices; ++i)
    EXPECT_TRUE(choices.add(shape(16, static_cast<int64_t>(i)), DenseAlgorithm{}));
  EXPECT_FALSE(choices.add(shape(32), DenseAlgorithm{}));
  EXPECT_TRUE(choices.add(shape(16, 0), DenseAlgorithm{{1}}));
  EXPECT_EQ(choices.size(), GemmChoices::kMaxChoices);
}

class GemmChoicesFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(dir_); }
  const std::string dir_ = str(testing::TempDir(), "/gemm_choices_", ::getpid());
  const std::string path_ = dir_ + "/deep/choices.txt";
};

TEST_F(GemmChoicesFile, KeepsChoicesAndMakesItsDirectory) {
  EXPECT_EQ(read_choices(path_, kMachine).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(write_choices(path_, kMachine, two_choices()).ok());
  const Result<GemmChoices> read = read_choices(path_, kMachine);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->text(kMachine), two_choices().text(kMachine));
}

TEST_F(GemmChoicesFile, SaysWhyAFileIsOfNoUse) {
  ASSERT_TRUE(write_choices(path_, kMachine, two_choices()).ok());
  std::ofstream(path_, std::ios::app) << "more";
  const Status status = read_choices(path_, kMachine).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(path_), std::string::npos);
  EXPECT_NE(status.message().find("checksum"), std::string::npos);
}

TEST_F(GemmChoicesFile, NamesTheDirectoryThatCannotBeMade) {
  std::filesystem::create_directories(dir_);
  std::ofstream(dir_ + "/deep") << "a file where the directory should be";
  const Status status = write_choices(path_, kMachine, two_choices());
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find(path_), std::string::npos);
}

}  // namespace
}  // namespace sluice::cuda
