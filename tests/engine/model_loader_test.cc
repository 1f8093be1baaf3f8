// From a directory to logits: every way to store the same numbers gives the same logits.
#include "engine/model/model_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint_writer.h"
#include "gguf_writer.h"
#include "model_harness.h"

namespace sluice {
namespace {

SamplingParams greedy_with_logprobs(int64_t max_tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = max_tokens;
  params.logprobs = true;
  params.num_top_logprobs = kMaxTopLogprobs;
  return params;
}

// Token, logprob, ids and logprobs of the best, of each of eight steps.
std::vector<double> fingerprint(const ModelOptions& options) {
  ModelHarness harness({.model = options});
  const HarnessRequest request = {{1, 5, 9, 30, 2}, greedy_with_logprobs(8), {}};
  const std::vector<StepOutput> outputs = harness.generate({request}, 100)[0];
  std::vector<double> out;
  for (const StepOutput& output : outputs) {
    out.insert(out.end(), {static_cast<double>(output.token), output.logprob.logprob});
    for (const TopLogprob& top : output.logprob.top)
      out.insert(out.end(), {static_cast<double>(top.id), top.logprob});
  }
  return out;
}

std::vector<double> fingerprint(const TempDir& dir) {
  return fingerprint(ModelOptions{.path = dir.path(), .dtype = DType::kF32});
}

Status load(const TempDir& dir) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const ModelConfig config = read_model_config(dir.path()).value();
  return load_decoder_model({.path = dir.path()}, config, *backend).status();
}

TEST(ModelLoader, EveryStorageOfTheSameNumbersGivesTheSameLogits) {
  const TempDir f32;
  write_tiny_model(f32, DType::kF32);
  const std::vector<double> expected = fingerprint(f32);
  ASSERT_EQ(expected.size(), 8U * (2 + 2 * kMaxTopLogprobs));
  for (const double value : expected) ASSERT_TRUE(std::isfinite(value));
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const TempDir other;
    write_tiny_model(other, dtype);
    EXPECT_EQ(fingerprint(other), expected) << name_of(dtype);
  }
  const TempDir sharded;
  write_sharded_tiny_model(sharded, DType::kBF16);
  EXPECT_EQ(fingerprint(sharded), expected) << "sharded";
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const TempDir misaligned;
    write_tiny_model(misaligned, dtype, /*tied=*/true, /*misalign=*/true);
    EXPECT_EQ(fingerprint(misaligned), expected) << "misaligned " << name_of(dtype);
  }
}

TEST(ModelLoader, AGgufFileOfTheSameNumbersGivesTheSameLogits) {
  for (const bool tied : {true, false}) {
    const TempDir dir;
    write_tiny_model(dir, DType::kF32, tied);
    dir.write("model.gguf", tiny_gguf(tied, tiny_tensors(tied, 1)).finish());
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      EXPECT_EQ(fingerprint(ModelOptions{.path = dir.file("model.gguf"), .dtype = dtype}),
                fingerprint(ModelOptions{.path = dir.path(), .dtype = dtype}));
    }
  }
}

TEST(ModelLoader, UsesTheHeadOfAnUntiedModel) {
  const TempDir tied;
  write_tiny_model(tied, DType::kF32);
  const TempDir untied;
  untied.write("config.json", tiny_config(false));
  SourceTensors tensors = tiny_tensors(true, 1);
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
  untied.write("model.safetensors", safetensors(tensors, DType::kF32));
  EXPECT_EQ(fingerprint(untied), fingerprint(tied));
  std::rotate(tensors["lm_head.weight"].values.begin(),
              tensors["lm_head.weight"].values.begin() + 32,
              tensors["lm_head.weight"].values.end());
  untied.write("model.safetensors", safetensors(tensors, DType::kF32));
  EXPECT_NE(fingerprint(untied), fingerprint(tied));
}

TEST(ModelLoader, NamesFileTensorExpectedAndFound) {
  const TempDir dir;
  write_tiny_model(dir, DType::kF32);
  SourceTensors tensors = tiny_tensors(true, 1);
  const std::string name = "model.layers.1.self_attn.k_proj.weight";

  tensors[name].shape = {32, 64};
  dir.write("model.safetensors", safetensors(tensors, DType::kF32));
  EXPECT_EQ(load(dir).message(), dir.file("model.safetensors") + ": tensor " + name +
                                     " has shape [32, 64]; config.json says [64, 32]");
  tensors.erase(name);
  dir.write("model.safetensors", safetensors(tensors, DType::kF32));
  EXPECT_EQ(load(dir).message(),
            dir.path() + ": no file has tensor " + name + " of shape [64, 32]");
}

TEST(ModelLoader, RefusesIntegerWeights) {
  const TempDir dir;
  write_tiny_model(dir, DType::kF32);
  dir.write("model.safetensors",
            raw_safetensors(R"({"model.embed_tokens.weight":{"dtype":"I8","shape":[40,32],)"
                            R"("data_offsets":[0,1280]}})",
                            1280));
  EXPECT_NE(load(dir).message().find("is I8; expected F32, BF16 or F16"), std::string::npos);
}

TEST(ModelLoader, NamesUnusedTensorsInOneWarning) {
  const TempDir dir;
  write_tiny_model(dir, DType::kF32);
  testing::internal::CaptureStderr();
  EXPECT_TRUE(load(dir).ok());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  SourceTensors tensors = tiny_tensors(true, 1);
  for (const char* name : {"x1", "x2", "x3", "x4"}) tensors[name] = {{1}, {0}};
  dir.write("model.safetensors", safetensors(tensors, DType::kF32));
  testing::internal::CaptureStderr();
  EXPECT_TRUE(load(dir).ok());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("4 tensor(s) that the model does not use: x1, x2, x3, ..."), std::string::npos)
      << log;
}

TEST(ModelLoader, RefusesMorePositionsThanTheModelHas) {
  const TempDir dir;
  write_tiny_model(dir, DType::kF32);
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const ModelConfig config = read_model_config(dir.path()).value();
  const auto with_len = [&](int64_t len) {
    return load_decoder_model({.path = dir.path(), .max_model_len = len}, config, *backend);
  };
  EXPECT_EQ(with_len(513).status().message(), "max_model_len is 513; the model has 512 positions");
  EXPECT_EQ(with_len(100).value()->max_model_len(), 100);
  EXPECT_EQ(with_len(0).value()->max_model_len(), 512);
}

TEST(ModelLoader, DummyWeightsAreFiniteAtAnyDepthAndFollowTheirSeed) {
  const TempDir dir;
  nlohmann::json config = nlohmann::json::parse(tiny_config(false));
  config["num_hidden_layers"] = 40;
  dir.write("shape.json", config.dump());
  const auto with_seed = [&](uint64_t seed) {
    return fingerprint(
        ModelOptions{.path = dir.file("shape.json"), .dummy_weights = true, .seed = seed});
  };
  const std::vector<double> first = with_seed(1);
  for (const double value : first) ASSERT_TRUE(std::isfinite(value));
  EXPECT_EQ(with_seed(1), first);
  EXPECT_NE(with_seed(2), first);
}

TEST(WeightDType, IsTheCheckpointsUnlessAskedOtherwise) {
  ModelConfig config;
  config.checkpoint_dtype = DType::kF16;
  EXPECT_EQ(weight_dtype({}, config), DType::kBF16);
  config.checkpoint_dtype = DType::kF32;
  EXPECT_EQ(weight_dtype({}, config), DType::kF32);
  EXPECT_EQ(weight_dtype({.dtype = DType::kBF16}, config), DType::kBF16);
}

}  // namespace
}  // namespace sluice
