// config.json and generation_config.json: what is read, and what is refused in words.
#include "engine/model/model_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint_writer.h"
#include "engine/model/families.h"

namespace sluice {
namespace {

using nlohmann::json;

json tiny() { return json::parse(tiny_config(true)); }

std::string refusal(const json& config) {
  const Result<ModelConfig> parsed = parse_model_config(config.dump(), "config.json");
  return parsed.ok() ? "" : parsed.status().message();
}

TEST(ModelConfig, ReadsTheEmbeddedModel) {
  const Result<ModelConfig> read =
      read_model_config(std::string(SLUICE_SOURCE_DIR) + "/models/sluice-tiny");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->architecture, "LlamaForCausalLM");
  EXPECT_EQ(read->vocab_size, 8192);
  EXPECT_EQ(read->hidden_size, 256);
  EXPECT_EQ(read->intermediate_size, 768);
  EXPECT_EQ(read->num_layers, 12);
  EXPECT_EQ(read->num_heads, 4);
  EXPECT_EQ(read->num_kv_heads, 2);
  EXPECT_EQ(read->head_dim, 64);
  EXPECT_EQ(read->max_position, 16384);
  EXPECT_EQ(read->rope.theta, 500000.0);
  EXPECT_FLOAT_EQ(read->rms_norm_eps, 1e-5F);
  EXPECT_TRUE(read->tie_word_embeddings);
  EXPECT_EQ(read->checkpoint_dtype, DType::kBF16);
  EXPECT_EQ(read->bos_id, 1);
  EXPECT_EQ(read->eos_ids, (std::vector<TokenId>{2, 4}));  // both files', ascending
  EXPECT_EQ(read->generation.do_sample, false);
  EXPECT_EQ(read->generation.max_new_tokens, 256);
  EXPECT_EQ(read->generation.temperature, std::nullopt);
  EXPECT_EQ(read->num_parameters() * 2, 23081472);  // total_size of the index, in bfloat16
}

TEST(ModelConfig, ReadsEveryShapeFile) {
  int count = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) + "/configs/shapes")) {
    if (file.path().extension() != ".json") continue;
    const Result<ModelConfig> read = read_model_config(file.path().string());
    EXPECT_TRUE(read.ok()) << read.status().message();
    ++count;
  }
  EXPECT_GT(count, 0);
}

TEST(ModelConfig, FillsInWhatTransformersLeavesOut) {
  json config = tiny();
  for (const char* key : {"num_key_value_heads", "head_dim", "rms_norm_eps", "tie_word_embeddings",
                          "torch_dtype", "eos_token_id"}) {
    config.erase(key);
  }
  config["hidden_size"] = 128;
  config["rope_scaling"] = nullptr;
  const Result<ModelConfig> parsed = parse_model_config(config.dump(), "config.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->num_kv_heads, 2);
  EXPECT_EQ(parsed->head_dim, 64);
  EXPECT_EQ(parsed->rope.theta, 10000);
  EXPECT_FLOAT_EQ(parsed->rms_norm_eps, 1e-6F);
  EXPECT_FALSE(parsed->tie_word_embeddings);
  EXPECT_EQ(parsed->checkpoint_dtype, DType::kBF16);
  EXPECT_EQ(parsed->bos_id, -1);
  EXPECT_TRUE(parsed->eos_ids.empty());
}

TEST(ModelConfig, TakesTheThetaOfRopeParameters) {
  json config = tiny();
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1234.5}};
  const Result<ModelConfig> parsed = parse_model_config(config.dump(), "config.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->rope.theta, 1234.5);
}

struct Change {
  const char* key;
  const char* value;    // JSON; empty: the key is taken away
  const char* message;  // a part of what is said
};

std::ostream& operator<<(std::ostream& out, const Change& change) {
  return out << change.key << " = " << change.value;
}

class RefusedConfig : public testing::TestWithParam<Change> {};

TEST_P(RefusedConfig, SaysWhy) {
  json config = tiny();
  config.erase(GetParam().key);
  if (*GetParam().value != 0) config[GetParam().key] = json::parse(GetParam().value);
  const std::string message = refusal(config);
  EXPECT_EQ(message.rfind("config.json: ", 0), 0U) << message;
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
}

// clang-format off
INSTANTIATE_TEST_SUITE_P(Table, RefusedConfig, testing::Values(
    Change{"architectures", "", "has no architectures; supported are: LlamaForCausalLM"},
    Change{"architectures", "[]", "has no architectures"},
    Change{"architectures", "[\"GPT2LMHeadModel\"]",
           "GPT2LMHeadModel is not supported; supported are: LlamaForCausalLM"},
    Change{"rope_scaling", R"({"type":"mrope"})", "\"mrope\" is not supported; supported are"},
    Change{"rope_scaling", "7", "expected an object or null"},
    Change{"attention_bias", "1", "expected true or false"},
    Change{"hidden_act", "\"gelu\"", "only \"silu\""},
    Change{"final_logit_softcapping", "30", "soft caps are Gemma's"},
    Change{"quantization_config", R"({"bits":4})", "only float weights"},
    Change{"partial_rotary_factor", "2", "expected more than 0, at most 1"},
    Change{"torch_dtype", "\"float8_e4m3fn\"", "float32, bfloat16 and float16 are supported"},
    Change{"hidden_size", "", "has no hidden_size"},
    Change{"hidden_size", "\"256\"", "hidden_size is \"256\"; expected an integer"},
    Change{"hidden_size", "256.5", "expected an integer"},
    Change{"hidden_size", "-8", "expected an integer from 0"},
    Change{"hidden_size", "0", "hidden_size is 0; expected 8 to"},
    Change{"hidden_size", "36", "multiple of 8"},
    Change{"hidden_size", "18446744073709551615", "expected an integer"},
    Change{"hidden_size", "4294967296", "from 0 to 2147483647"},
    Change{"vocab_size", "0", "vocab_size is 0"},
    Change{"vocab_size", "2147483647", "vocab_size is 2147483647; expected 1 to 2097152"},
    Change{"num_hidden_layers", "100000", "expected 1 to 1024"},
    Change{"num_attention_heads", "0", "num_attention_heads is 0"},
    Change{"num_key_value_heads", "4", "expected 1 to 2"},
    Change{"head_dim", "80", "head_dim is 80; supported are 64, 96, 128 and 256"},
    Change{"rms_norm_eps", "0", "expected 0 < eps < 1"},
    Change{"rms_norm_eps", "\"small\"", "expected a number"},
    Change{"rope_theta", "-1", "rope_theta is -1"},
    Change{"max_position_embeddings", "0", "max_position_embeddings is 0"},
    Change{"tie_word_embeddings", "1", "expected true or false"},
    Change{"bos_token_id", "40", "bos_token_id is 40; expected -1 to 39"},
    Change{"eos_token_id", "[2, 40]", "eos_token_id is 40; expected 0 to 39"},
    Change{"eos_token_id", "[2, -1]", "expected a token id or a list"},
    Change{"eos_token_id", "{}", "expected a token id or a list"}));
// clang-format on

TEST(ModelConfig, RefusesQueryHeadsThatDoNotDivideIntoGroups) {
  json config = tiny();
  config["num_attention_heads"] = 3;
  config["num_key_value_heads"] = 2;
  EXPECT_NE(refusal(config).find("is 3; expected a multiple of num_key_value_heads, 2"),
            std::string::npos);
}

TEST(ModelConfig, RefusesDeepJsonAndDirectoriesWithoutAConfig) {
  const std::string deep = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_NE(parse_model_config(deep, "config.json").status().message().find("nested deeper"),
            std::string::npos);
  const TempDir dir;
  const Status status = read_model_config(dir.path()).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(), dir.file("config.json") + ": No such file or directory");
}

TEST(GenerationConfig, OffersDefaultsAndRefusesNonsense) {
  ModelConfig config = std::move(parse_model_config(tiny_config(true), "config.json")).value();
  const Status good = parse_generation_config(
      R"({"eos_token_id":[3,2],"temperature":0.6,"top_p":0.9,"top_k":-1,"min_p":null})",
      "generation_config.json", config);
  ASSERT_TRUE(good.ok()) << good.message();
  EXPECT_FLOAT_EQ(config.generation.temperature.value(), 0.6F);
  EXPECT_FLOAT_EQ(config.generation.top_p.value(), 0.9F);
  EXPECT_EQ(config.generation.top_k, -1);
  EXPECT_EQ(config.generation.min_p, std::nullopt);
  EXPECT_EQ(config.generation.do_sample, std::nullopt);
  for (const char* bad :
       {"[]", R"({"temperature":-1})", R"({"top_p":0})", R"({"top_p":1.5})", R"({"top_k":-5})",
        R"({"eos_token_id":40})", R"({"max_new_tokens":0})", R"({"repetition_penalty":0})"}) {
    EXPECT_FALSE(parse_generation_config(bad, "generation_config.json", config).ok()) << bad;
  }
}

TEST(WeightNames, OfALayer) {
  const WeightNames names = weight_names("LlamaForCausalLM");
  EXPECT_EQ(names.of_layer(11, names.q), "model.layers.11.self_attn.q_proj.weight");
  EXPECT_THROW(weight_names("GPT2LMHeadModel"), InternalError);
}

}  // namespace
}  // namespace sluice
