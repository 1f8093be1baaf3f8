// Each family of families.cc against logits of transformers, on every backend; and the kinds of
// RoPE against its frequencies. tests/families/make_families.py writes what is read here.
#include "engine/model/families.h"

#include <gtest/gtest.h>

#include <cmath>

#include "golden_family.h"
#include "tests/kernels/backends.h"

namespace sluice {
namespace {

using nlohmann::json;

// In float32 only the order of additions differs; the goldens are rounded to 1e-5.
constexpr double kTolerance = 1e-4;

class Families : public KernelTest {
 protected:
  void expect_golden(const std::string& file) {
    const json golden = read_json(file + ".json");
    const TempDir dir;
    write_model(dir, golden);
    const Result<ModelConfig> config = read_model_config(dir.path());
    ASSERT_TRUE(config.ok()) << config.status().message();
    const auto model = load_decoder_model({.path = dir.path()}, config.value(), backend());
    ASSERT_TRUE(model.ok()) << model.status().message();
    int64_t elements = 0;
    for (const auto& [name, shape] : golden["tensors"].items()) {
      int64_t count = 1;
      for (const json& extent : shape) count *= extent.get<int64_t>();
      elements += count;
    }
    EXPECT_EQ(config->num_parameters(), elements);
    const auto want = golden["logits"].get<std::vector<std::vector<double>>>();
    for (const int chunk : {70, 23}) {
      SCOPED_TRACE(testing::Message() << file << " in steps of " << chunk);
      const auto got = logits_of(backend(), *model.value(), golden, chunk);
      ASSERT_EQ(got.size(), want.size());
      double worst = 0;
      for (size_t r = 0; r < want.size(); ++r) {
        for (size_t i = 0; i < want[r].size(); ++i)
          worst = std::max(worst, std::fabs(got[r][i] - want[r][i]));
      }
      EXPECT_LT(worst, kTolerance);
    }
  }
};
SLUICE_ON_EVERY_BACKEND(Families);

// Biases everywhere, Llama 3's RoPE, a tied head.
TEST_P(Families, Llama) { expect_golden("llama"); }
// A window in every layer.
TEST_P(Families, Mistral) { expect_golden("mistral"); }
// Biases of q, k and v; YaRN; a window in the upper layer.
TEST_P(Families, Qwen2) { expect_golden("qwen2"); }
// Norms of each head of q and k.
TEST_P(Families, Qwen3) { expect_golden("qwen3"); }
// A layer that does not rotate.
TEST_P(Families, SmolLM3) { expect_golden("smollm3"); }
// Fused projections, three quarters of a head rotate, longrope.
TEST_P(Families, Phi3) { expect_golden("phi3"); }
// Norms behind the branches, and of all of q and k.
TEST_P(Families, Olmo2) { expect_golden("olmo2"); }
// Four scalings.
TEST_P(Families, Granite) { expect_golden("granite"); }
TEST_P(Families, MiniCPM) { expect_golden("minicpm"); }
// GELU, norms on both sides that store w - 1, soft caps, a window in every other layer.
TEST_P(Families, Gemma2) { expect_golden("gemma2"); }
// The same with norms of heads and two rotary tables in place of soft caps.
TEST_P(Families, Gemma3) { expect_golden("gemma3"); }

json llama() { return read_json("mistral.json")["config"]; }

Result<ModelConfig> parse(const json& config) {
  return parse_model_config(config.dump(), "config.json");
}

void expect_refused(const json& config, const std::string& words) {
  const Result<ModelConfig> parsed = parse(config);
  ASSERT_FALSE(parsed.ok()) << words;
  EXPECT_NE(parsed.status().message().find(words), std::string::npos) << parsed.status().message();
}

TEST(Rope, FrequenciesAndMagnitudesAreThoseOfTransformers) {
  for (const json& want : read_json("rope.json")) {
    SCOPED_TRACE(want["rope_parameters"].dump());
    json config = llama();
    for (const char* key : {"rope_parameters", "max_position_embeddings", "head_dim"})
      config[key] = want[key];
    const Result<ModelConfig> parsed = parse(config);
    ASSERT_TRUE(parsed.ok()) << parsed.status().message();
    EXPECT_NEAR(parsed->rope.magnitude, want["magnitude"].get<double>(), 1e-6);
    const std::vector<double> got = rope_frequencies(parsed->rope, parsed->rotating());
    const auto frequencies = want["frequencies"].get<std::vector<double>>();
    ASSERT_EQ(got.size(), frequencies.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], frequencies[i], 1e-6 * frequencies[i]) << i;
  }
}

TEST(Rope, OldSpellingsMeanTheSame) {
  json old = llama();
  old.erase("rope_parameters");
  old["rope_theta"] = 5e5;
  old["rope_scaling"] = {{"type", "linear"}, {"factor", 4}};
  const RopeConfig rope = parse(old).value().rope;
  EXPECT_EQ(rope.kind, RopeKind::kLinear);
  EXPECT_EQ(rope.factor, 4);
  EXPECT_EQ(rope.theta, 5e5);
}

// The formulas of arXiv:2308.10882 by hand: theta 10000, 64 elements, trained on 256 positions.
TEST(Rope, TruncatedAndPowerBases) {
  json config = llama();
  config["rope_parameters"] = {{"rope_type", "truncated"},
                               {"original_max_position_embeddings", 256}};
  const double cutoff = 2 * M_PI / 256;
  const std::vector<double> truncated = rope_frequencies(parse(config).value().rope, 64);
  config["rope_parameters"] = {{"rope_type", "power"}, {"power", 0.5}};
  const std::vector<double> power = rope_frequencies(parse(config).value().rope, 64);
  int kept = 0, banded = 0;
  for (int i = 0; i < 32; ++i) {
    const double f = std::pow(10000.0, -i / 32.0);
    kept += f >= cutoff ? 1 : 0;
    banded += f < cutoff && f > cutoff / 8 ? 1 : 0;
    const double want = f >= cutoff ? f : f > cutoff / 8 ? cutoff / 16 : 0;
    EXPECT_NEAR(truncated[i], want, 1e-12) << i;
    EXPECT_NEAR(power[i], f * std::sqrt(1 - i / 32.0), 1e-12) << i;
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(banded, 0);
  EXPECT_LT(kept + banded, 32);
}

TEST(Rope, TablesThatDependOnTheLengthEndWhereTheyChange) {
  json config = llama();
  config["max_position_embeddings"] = 4096;
  config["sliding_window"] = nullptr;
  config["rope_parameters"] = {{"rope_type", "longrope"},
                               {"original_max_position_embeddings", 1024},
                               {"short_factor", std::vector<double>(32, 1)},
                               {"long_factor", std::vector<double>(32, 2)}};
  ModelConfig parsed = parse(config).value();
  EXPECT_EQ(parsed.max_position, 1024);
  EXPECT_NE(parsed.max_position_reason.find("longrope"), std::string::npos);
  EXPECT_EQ(parsed.rope.factor, 4);
  config["rope_parameters"] = {{"rope_type", "dynamic"}, {"factor", 2}};
  EXPECT_EQ(parse(config).value().max_position, 4096);
  config["rope_parameters"] = {
      {"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 4096}};
  EXPECT_EQ(parse(config).value().max_position, 16384);
}

TEST(Rope, RefusesNonsenseInWords) {
  const auto with = [](const json& rope) {
    json config = llama();
    config["rope_parameters"] = rope;
    return config;
  };
  expect_refused(with({{"rope_type", "mrope"}}), "type \"mrope\" is not supported; supported are");
  expect_refused(with({{"rope_type", "linear"}, {"factor", 0}}), "factor is 0; expected 1 to");
  expect_refused(with({{"rope_type", "linear"}, {"factor", "4"}}), "expected a number");
  expect_refused(with({{"rope_type", "llama3"}, {"low_freq_factor", 4}}), "high_freq_factor is 4");
  expect_refused(with({{"rope_type", "yarn"}, {"rope_theta", 1}}), "rope_theta is 1");
  expect_refused(with({{"rope_type", "yarn"}, {"original_max_position_embeddings", 0}}),
                 "original_max_position_embeddings is 0");
  expect_refused(with({{"rope_type", "longrope"}}), "short_factor has 0 numbers; expected 32");
  expect_refused(with({{"partial_rotary_factor", 0}}), "partial_rotary_factor is 0");
  expect_refused(with({{"partial_rotary_factor", 0.3}}), "expected an even number");
}

std::vector<int> windows_of(const json& config) {
  const ModelConfig parsed = parse(config).value();
  std::vector<int> windows;
  for (int i = 0; i < parsed.num_layers; ++i) windows.push_back(parsed.window_of(i));
  return windows;
}

TEST(FamilyConfig, LayersHaveTheWindowsOfTheirFamily) {
  using Windows = std::vector<int>;
  json mistral = llama();
  EXPECT_EQ(windows_of(mistral), Windows({20, 20}));
  EXPECT_EQ(parse(mistral).value().common_window(), 20);
  EXPECT_EQ(parse(mistral).value().max_position, 256);
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(windows_of(mistral), Windows({0, 0}));
  mistral["sliding_window"] = 0;
  expect_refused(mistral, "sliding_window is 0");
  json qwen = read_json("qwen2.json")["config"];
  EXPECT_EQ(windows_of(qwen), Windows({0, 40}));
  EXPECT_EQ(parse(qwen).value().common_window(), 0);
  qwen["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_EQ(windows_of(qwen), Windows({40, 0}));
  qwen["use_sliding_window"] = false;
  EXPECT_EQ(windows_of(qwen), Windows({0, 0}));
  json gemma = read_json("gemma2.json")["config"];
  gemma.erase("layer_types");
  EXPECT_EQ(windows_of(gemma), Windows({25, 0}));
  gemma = read_json("gemma3.json")["config"];
  gemma.erase("layer_types");
  gemma["num_hidden_layers"] = 7;
  EXPECT_EQ(windows_of(gemma), Windows({30, 30, 30, 30, 30, 0, 30}));
}

TEST(FamilyConfig, RefusesWhatTheGraphLacksInWords) {
  json config = llama();
  config["num_local_experts"] = 8;
  expect_refused(config, "mixtures of experts are not supported");
  json gemma = read_json("gemma3.json")["config"];
  gemma["final_logit_softcapping"] = -1;
  expect_refused(gemma, "final_logit_softcapping is -1; expected a positive number");
  gemma["final_logit_softcapping"] = nullptr;
  gemma["layer_types"] = {"full_attention"};
  expect_refused(gemma, "has 1 entries; expected one for each of 2 layers");
  json granite = read_json("granite.json")["config"];
  granite["logits_scaling"] = 0;
  expect_refused(granite, "logits_scaling is 0; expected a positive number");
  granite["logits_scaling"] = 1;
  granite["residual_multiplier"] = 0;
  expect_refused(granite, "the residual multiplier is 0");
}

}  // namespace
}  // namespace sluice
