// Headers of safetensors files that lie, and one that does not.
#include "engine/model/safetensors.h"

#include <gtest/gtest.h>

#include "checkpoint_writer.h"

namespace sluice {
namespace {

Result<SafetensorsHeader> parse(const std::string& bytes) {
  return parse_safetensors(std::as_bytes(std::span(bytes)), "f.safetensors");
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirData) {
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},)"
                             R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                             R"("empty":{"dtype":"I64","shape":[0,7],"data_offsets":[8,8]}})";
  const Result<SafetensorsHeader> parsed = parse(raw_safetensors(header, 14));
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->data_offset, 8 + header.size());
  ASSERT_EQ(parsed->tensors.size(), 3U);
  EXPECT_EQ(parsed->tensors[0].name, "b");
  EXPECT_EQ(parsed->tensors[0].dtype, DType::kF32);
  EXPECT_EQ(parsed->tensors[0].shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(parsed->tensors[1].name, "empty");
  EXPECT_EQ(parsed->tensors[1].dtype, std::nullopt);
  EXPECT_EQ(parsed->tensors[2].begin, 8U);
  EXPECT_EQ(parsed->tensors[2].end, 14U);
}

struct Hostile {
  const char* header;
  size_t data_bytes;
  const char* message;  // a part of what is said
};

std::ostream& operator<<(std::ostream& out, const Hostile& hostile) {
  return out << hostile.message;
}

class HostileSafetensors : public testing::TestWithParam<Hostile> {};

TEST_P(HostileSafetensors, IsRefusedInWords) {
  const Result<SafetensorsHeader> parsed =
      parse(raw_safetensors(GetParam().header, GetParam().data_bytes));
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(parsed.status().field(), "f.safetensors");
  const std::string& message = parsed.status().message();
  EXPECT_EQ(message.rfind("f.safetensors: ", 0), 0U) << message;
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
}

// clang-format off
INSTANTIATE_TEST_SUITE_P(Table, HostileSafetensors, testing::Values(
    Hostile{"", 0, "not valid JSON"},
    Hostile{"{", 0, "not valid JSON"},
    Hostile{"[]", 0, "outermost value is not an object"},
    Hostile{"7", 0, "outermost value is not an object"},
    Hostile{"{} x", 0, "not valid JSON"},
    Hostile{"{\"a\xff\":1}", 0, "not valid JSON"},
    Hostile{R"({"a":{"b":{"c":{"d":1}}}})", 0, "nested deeper than 3"},
    Hostile{R"({"a":[[[[[[]]]]]]})", 0, "nested deeper than 3"},
    Hostile{R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},
                "a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1, "\"a\" appears twice"},
    Hostile{R"({"a":{"dtype":"U8","dtype":"I8","shape":[],"data_offsets":[0,1]}})", 1, "twice"},
    Hostile{R"({"a":1})", 0, "not an object"},
    Hostile{R"({"a":{}})", 0, "no dtype"},
    Hostile{R"({"a":{"dtype":7}})", 0, "no dtype"},
    Hostile{R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}})", 1, "\"Q4\" is unknown"},
    Hostile{R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "shape is not a list"},
    Hostile{R"({"a":{"dtype":"U8","shape":3,"data_offsets":[0,3]}})", 3, "shape is not a list"},
    Hostile{R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "shape is not a list"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "shape is not a list"},
    Hostile{R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1, "shape is not a list"},
    Hostile{R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})", 1,
            "shape is not a list"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
            "at most 8"},
    Hostile{R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
            "overflows"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1]}})", 1, "data_offsets are not two"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "data_offsets are not two"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "not two"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1, "not two"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}})", 2, "[2, 1)"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 0, "has 0 bytes of data"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,9223372036854775807]}})", 1,
            "has 1 bytes of data"},
    Hostile{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "need 8 bytes"},
    Hostile{R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                "b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3, "overlap"},
    Hostile{R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                "b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2, "overlap"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                "b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})", 3, "hole"},
    Hostile{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2, "end at data byte 1 of 2"},
    Hostile{R"({})", 1, "end at data byte 0 of 1"}));
// clang-format on

TEST(Safetensors, RefusesLengthsThatTheFileDoesNotHave) {
  EXPECT_NE(parse("1234567").status().message().find("has 7 bytes"), std::string::npos);
  const std::string whole = raw_safetensors("{}", 0);
  EXPECT_NE(parse(whole.substr(0, 9)).status().message().find("only 1 bytes"), std::string::npos);
  EXPECT_NE(parse(std::string(8, '\xff')).status().message().find("limit"), std::string::npos);
  EXPECT_TRUE(parse(whole).ok());
}

TEST(Safetensors, KeepsMessagesShortAndPrintable) {
  const std::string name = "\\u001b[31m" + std::string(10000, 'x');
  const std::string message = parse(raw_safetensors("{\"" + name + "\":1}", 0)).status().message();
  EXPECT_LT(message.size(), 200U);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace sluice
