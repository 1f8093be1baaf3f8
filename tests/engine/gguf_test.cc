#include "engine/model/gguf.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "engine/model/gguf_model.h"
#include "gguf_writer.h"

namespace sluice {
namespace {

std::string refusal(const std::string& file) {
  const auto parsed = parse_gguf(std::as_bytes(std::span(file)), "m.gguf");
  EXPECT_FALSE(parsed.ok());
  return parsed.ok() ? "" : parsed.status().message();
}

TEST(Gguf, ReadsMetadataAndTensors) {
  const std::string file = GgufWriter()
                               .integer("i", 7)
                               .number("f", 0.5F)
                               .flag("b", true)
                               .text("s", "x")
                               .texts("l", {"a", "", "c"})
                               .tensor("t", {2, 3}, 0, std::string(24, '\0'))
                               .tensor("u", {32}, 8, std::string(34, '\1'))
                               .finish();
  const auto parsed = parse_gguf(std::as_bytes(std::span(file)), "m.gguf");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->integer("i"), 7);
  EXPECT_EQ(parsed->number("f"), 0.5);
  EXPECT_EQ(parsed->flag("b"), true);
  EXPECT_EQ(*parsed->text("s"), "x");
  EXPECT_EQ(*parsed->list<std::string>("l"), (std::vector<std::string>{"a", "", "c"}));
  EXPECT_EQ(parsed->integer("s"), std::nullopt);
  EXPECT_EQ(parsed->text("none"), nullptr);
  EXPECT_EQ(parsed->tensors.at("t").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(parsed->tensors.at("u").bytes.size(), 34U);
  EXPECT_EQ(parsed->tensors.at("u").bytes[0], std::byte{1});
}

TEST(Gguf, EveryCutFileIsRefused) {
  const std::string file = GgufWriter()
                               .texts("l", {"a", "b"})
                               .integer("i", 1)
                               .tensor("t", {2, 32}, 2, std::string(36, '\0'))
                               .finish();
  // All but the padding at the end.
  for (size_t size = 0; size < file.size() - 28; ++size) {
    EXPECT_FALSE(refusal(file.substr(0, size)).empty()) << size;
  }
}

TEST(Gguf, HostileCountsAreRefusedInWords) {
  const auto big = [](uint64_t value) { return GgufWriter::bytes_of(value); };
  const std::string good = GgufWriter().integer("i", 1).finish();
  const auto with = [&](size_t at, const std::string& bytes) {
    return std::string(good).replace(at, bytes.size(), bytes);
  };
  EXPECT_NE(refusal(with(8, big(UINT64_MAX))).find("18446744073709551615 tensors"),
            std::string::npos);
  EXPECT_NE(refusal(with(16, big(UINT64_MAX))).find("values of metadata"), std::string::npos);
  EXPECT_NE(refusal(with(24, big(UINT64_MAX))).find("a string of"), std::string::npos);
  EXPECT_NE(refusal(with(4, GgufWriter::bytes_of(uint32_t{1}))).find("version 1"),
            std::string::npos);
  EXPECT_NE(refusal("safetensors?").find("is no GGUF file"), std::string::npos);
  const auto value = [&](uint32_t kind, const std::string& bytes) {
    return refusal(GgufWriter().pair("k", kind, bytes).finish());
  };
  const auto list = [&](uint32_t kind, uint64_t count) {
    return GgufWriter::bytes_of(kind) + big(count);
  };
  EXPECT_NE(value(9, list(8, UINT64_MAX)).find("values of a list"), std::string::npos);
  EXPECT_NE(value(9, list(10, UINT64_MAX / 8)).find("values of a list"), std::string::npos);
  EXPECT_NE(value(9, list(9, 1)).find("a list of values of kind 9"), std::string::npos);
  EXPECT_NE(value(13, big(0)).find("unknown kind 13"), std::string::npos);
  EXPECT_NE(value(10, big(UINT64_MAX)).find("beyond 63 bits"), std::string::npos);
  EXPECT_NE(refusal(GgufWriter().integer("k", 1).integer("k", 2).finish()).find("there twice"),
            std::string::npos);
  EXPECT_NE(refusal(GgufWriter().integer("general.alignment", 0).finish()).find("alignment is 0"),
            std::string::npos);
}

TEST(Gguf, HostileTensorsAreRefusedByName) {
  const auto tensor = [](const std::vector<int64_t>& shape, uint32_t type) {
    return refusal(GgufWriter().tensor("t", shape, type, std::string(64, '\0')).finish());
  };
  EXPECT_NE(tensor({1 << 20, 1 << 20}, 0).find("tensor t has 4398046511104 bytes"),
            std::string::npos);
  EXPECT_NE(tensor({int64_t{1} << 62, 4}, 0).find("beyond 64 bits"), std::string::npos);
  EXPECT_NE(tensor({int64_t{1} << 61, 2}, 0).find("beyond 64 bits"), std::string::npos);
  EXPECT_NE(tensor({-1}, 0).find("a dimension of 18446744073709551615"), std::string::npos);
  EXPECT_NE(tensor({2, 33}, 2).find("no whole blocks of 32 (Q4_0)"), std::string::npos);
  EXPECT_NE(tensor({4}, 10).find("is of type 10; supported are F32"), std::string::npos);
  EXPECT_NE(tensor({1, 1, 1, 1, 1}, 0).find("5 dimensions"), std::string::npos);
  EXPECT_NE(tensor({}, 0).find("has no shape"), std::string::npos);
}

TEST(Gguf, BlocksHaveTheValuesOfTheReference) {
  struct Case {
    GgmlType type;
    size_t values, bytes;
    float first, second, middle, last;
    double weighted;  // sum of (i + 1) * value
  };
  // Block byte i is (37 i + 11) mod 256, but d = 0.5 and m = -0.25; values by gguf-py's quants.
  const Case cases[] = {
      {GgmlType::kQ4_0, 32, 18, -1.5F, 1.0F, -1.5F, 0.0F, -259.0},
      {GgmlType::kQ4_1, 32, 20, 7.25F, 1.75F, 4.25F, 5.75F, 1859.5},
      {GgmlType::kQ5_0, 32, 22, 4.5F, -1.0F, 7.0F, 0.5F, 56.0},
      {GgmlType::kQ5_1, 32, 24, 9.25F, 11.75F, 9.25F, 2.25F, 3818.5},
      {GgmlType::kQ8_0, 32, 34, 42.5F, 61.0F, -45.5F, -24.0F, -4040.0},
      {GgmlType::kQ4_K, 256, 144, 183.25F, 12.75F, 217.5F, 41.75F, 4262132.0},
      {GgmlType::kQ5_K, 256, 176, 431.25F, 12.75F, 529.5F, 71.75F, 8489436.0},
      {GgmlType::kQ6_K, 256, 210, -715.5F, 848.0F, -175.5F, -30.0F, 392210.0},
  };
  for (const Case& c : cases) {
    const GgmlBlock block = block_of(c.type);
    ASSERT_EQ(static_cast<size_t>(block.bytes), c.bytes) << block.name;
    std::vector<std::byte> bytes(c.bytes);
    for (size_t i = 0; i < c.bytes; ++i) bytes[i] = static_cast<std::byte>(37 * i + 11);
    const size_t scale = c.type == GgmlType::kQ6_K ? 208 : 0;
    const uint16_t half = 0x3800, quarter = 0xB400;  // 0.5, -0.25
    std::memcpy(&bytes[scale], &half, 2);
    const bool has_minimum = c.type == GgmlType::kQ4_1 || c.type == GgmlType::kQ5_1 ||
                             c.type == GgmlType::kQ4_K || c.type == GgmlType::kQ5_K;
    if (has_minimum) std::memcpy(&bytes[2], &quarter, 2);
    std::vector<float> out(c.values);
    dequantize(c.type, bytes, out);
    double weighted = 0;
    for (size_t i = 0; i < out.size(); ++i) weighted += static_cast<double>(i + 1) * out[i];
    EXPECT_EQ(out[0], c.first) << block.name;
    EXPECT_EQ(out[1], c.second) << block.name;
    EXPECT_EQ(out[c.values / 2], c.middle) << block.name;
    EXPECT_EQ(out.back(), c.last) << block.name;
    EXPECT_EQ(weighted, c.weighted) << block.name;
  }
}

TEST(GgufModel, ReadsScaledRotaryFrequencies) {
  SourceTensor factors{.shape = {32}, .values = {}};
  for (int i = 0; i < 32; ++i) factors.values.push_back(1 + static_cast<float>(i) / 4);
  const auto config_of = [](const GgufWriter& file) {
    const std::string bytes = file.finish();
    return gguf_model_config(parse_gguf(std::as_bytes(std::span(bytes)), "m").value(), "m").value();
  };
  GgufWriter file = tiny_gguf(true, tiny_tensors(true, 1));
  const ModelConfig plain = config_of(file);
  const std::vector<double> frequencies = rope_frequencies(plain.rope, 64);
  const ModelConfig scaled = config_of(file.tensor("rope_freqs.weight", factors));
  const std::vector<double> got = rope_frequencies(scaled.rope, 64);
  for (int i = 0; i < 32; ++i) EXPECT_DOUBLE_EQ(got[i], frequencies[i] / factors.values[i]);
  EXPECT_EQ(scaled.rope.magnitude, 1);
  EXPECT_EQ(scaled.max_position, plain.max_position);
  GgufWriter linear = tiny_gguf(true, tiny_tensors(true, 1));
  linear.text("llama.rope.scaling.type", "linear").number("llama.rope.scaling.factor", 4);
  EXPECT_DOUBLE_EQ(rope_frequencies(config_of(linear).rope, 64)[3], frequencies[3] / 4);
}

TEST(GgufModel, RefusesWhatThePassDoesNotCompute) {
  const auto config_of = [](const GgufWriter& file) {
    const std::string bytes = file.finish();
    return gguf_model_config(parse_gguf(std::as_bytes(std::span(bytes)), "m").value(), "m");
  };
  const SourceTensors tensors = tiny_tensors(true, 1);
  EXPECT_TRUE(config_of(tiny_gguf(true, tensors)).ok());
  EXPECT_TRUE(config_of(tiny_gguf(true, tensors))->tie_word_embeddings);
  EXPECT_FALSE(config_of(tiny_gguf(false, tiny_tensors(false, 1)))->tie_word_embeddings);
  const auto refused = [&](GgufWriter file, const char* words) {
    const auto config = config_of(file);
    ASSERT_FALSE(config.ok());
    EXPECT_NE(config.status().message().find(words), std::string::npos)
        << config.status().message();
  };
  const auto tiny = [&] { return tiny_gguf(true, tensors); };
  refused(tiny().text("llama.rope.scaling.type", "ntk"), "\"ntk\" is not supported");
  refused(tiny().integer("llama.expert_count", 8), "mixtures of experts");
  refused(tiny().integer("llama.rope.dimension_count", 32), "rope.dimension_count");
  refused(tiny().tensor("rope_freqs.weight", {1}, 0, "0000"), "has shape [1]; expected F32 of");
  refused(tiny().tensor("rope_freqs.weight", {.shape = {32}, .values = std::vector<float>(32)}),
          "is 0; expected");
  refused(tiny().tensor("blk.0.attn_q.bias", {1}, 0, "0000"), "biases");
  refused(GgufWriter().text("general.architecture", "gpt2"), "architecture gpt2");
  refused(GgufWriter().text("general.architecture", "llama"), "has no llama.");
}

}  // namespace
}  // namespace sluice
