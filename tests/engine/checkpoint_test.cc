// Files of a checkpoint: found, mapped, joined; and those that must not be opened.
#include "engine/model/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>

#include "checkpoint_writer.h"

namespace sluice {
namespace {

const SourceTensors kOne = {{"a", {{2}, {1, 2}}}};
const SourceTensors kOther = {{"b", {{1}, {3}}}};

std::string failure(const TempDir& dir) {
  const Result<Checkpoint> checkpoint = Checkpoint::open(dir.path());
  return checkpoint.ok() ? "" : checkpoint.status().message();
}

void expect_failure(const TempDir& dir, const std::string& part) {
  const std::string message = failure(dir);
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(Checkpoint, OpensASingleFile) {
  const TempDir dir;
  dir.write("model.safetensors", safetensors(kOne, DType::kF32));
  const Result<Checkpoint> checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const Checkpoint::Tensor* tensor = checkpoint->find("a");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(checkpoint->find("b"), nullptr);
  EXPECT_EQ(checkpoint->path_of(*tensor), dir.file("model.safetensors"));
  float values[2];
  ASSERT_EQ(tensor->bytes.size(), sizeof values);
  checkpoint->drop(*tensor);  // advice only: the bytes stay readable
  std::memcpy(values, tensor->bytes.data(), sizeof values);
  EXPECT_EQ(values[1], 2.0F);
}

TEST(Checkpoint, JoinsTheFilesOfAnIndexThroughSymlinks) {
  const TempDir dir;
  dir.write("blob", safetensors(kOne, DType::kF32));
  std::filesystem::create_symlink(dir.file("blob"), dir.file("1.safetensors"));
  dir.write("2.safetensors", safetensors(kOther, DType::kBF16));
  dir.write(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":10},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  const Result<Checkpoint> checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_EQ(checkpoint->tensors().size(), 2U);
  EXPECT_EQ(checkpoint->find("b")->entry.dtype, DType::kBF16);
}

TEST(Checkpoint, SaysWhatIsMissing) {
  const TempDir dir;
  expect_failure(dir, "neither model.safetensors nor model.safetensors.index.json");
  dir.write("model.safetensors.index.json", R"({"weight_map":{"a":"gone.safetensors"}})");
  expect_failure(dir, "gone.safetensors: No such file");
  dir.write("model.safetensors", "");
  expect_failure(dir, "empty");
  dir.write("model.safetensors", safetensors(kOne, DType::kF32).substr(0, 40));
  expect_failure(dir, "cut off");
}

TEST(Checkpoint, RefusesADirectoryInPlaceOfAFile) {
  const TempDir dir;
  std::filesystem::create_directory(dir.file("model.safetensors"));
  expect_failure(dir, "not a regular file");
}

class HostileIndex : public testing::TestWithParam<const char*> {};

TEST_P(HostileIndex, IsRefused) {
  const TempDir outside;
  outside.write("x.safetensors", safetensors(kOne, DType::kF32));
  const TempDir dir;
  dir.write("model.safetensors.index.json", GetParam());
  expect_failure(dir, dir.file("model.safetensors.index.json"));
}

INSTANTIATE_TEST_SUITE_P(
    Table, HostileIndex,
    testing::Values("", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
                    R"({"weight_map":{"a":7}})", R"({"weight_map":{"a":""}})",
                    R"({"weight_map":{"a":".."}})", R"({"weight_map":{"a":"../x.safetensors"}})",
                    R"({"weight_map":{"a":"sub/x.safetensors"}})",
                    R"({"weight_map":{"a":"/etc/passwd"}})",
                    R"({"weight_map":{"a":"x\u0000.safetensors"}})",
                    R"({"weight_map":{"a":"1","a":"2"}})", R"({"weight_map":{"a":[[[[1]]]]}})"));

TEST(Checkpoint, RefusesATensorThatIsInTwoFiles) {
  const TempDir dir;
  dir.write("1.safetensors", safetensors(kOne, DType::kF32));
  dir.write("2.safetensors", safetensors({{"a", {{1}, {5}}}, {"b", {{1}, {5}}}}, DType::kF32));
  dir.write("model.safetensors.index.json",
            R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  expect_failure(dir, "tensor a is also in " + dir.file("1.safetensors"));
}

TEST(Checkpoint, RefusesAnIndexThatPutsATensorIntoTheWrongFile) {
  const TempDir dir;
  dir.write("1.safetensors", safetensors(kOne, DType::kF32));
  dir.write("2.safetensors", safetensors(kOther, DType::kF32));
  dir.write("model.safetensors.index.json",
            R"({"weight_map":{"a":"2.safetensors","b":"1.safetensors"}})");
  expect_failure(dir, "tensor a is not in 2.safetensors");
}

}  // namespace
}  // namespace sluice
