// How large a KV cache becomes, and what is said when none fits.
#include "server/cli/assembly.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace sluice {
namespace {

// 1 KiB a token, 64 KiB a block.
const KvLayout kLayout{.num_layers = 2, .num_kv_heads = 2, .head_dim = 64, .dtype = DType::kBF16};
constexpr int64_t kBlock = 64 << 10;

TEST(KvBlocks, RequestedBytesAreUsedWhole) {
  ASSERT_EQ(kLayout.block_bytes(), kBlock);
  const auto blocks = choose_kv_blocks(
      kLayout, {.requested_bytes = 10 * kBlock + 5, .max_model_len = 640, .max_num_seqs = 1});
  EXPECT_EQ(blocks.value(), 10);
}

TEST(KvBlocks, TooFewForOneSequenceSaysWhatToChange) {
  const auto blocks = choose_kv_blocks(
      kLayout, {.requested_bytes = 2 * kBlock, .max_model_len = 129, .max_num_seqs = 1});
  EXPECT_EQ(blocks.status().message(),
            "a KV cache of 128 KiB holds 128 tokens, less than one sequence of --max-model-len "
            "129; lower that, or raise --kv-cache-memory-bytes to at least 196608");
}

TEST(KvBlocks, AutomaticTakesAQuarterOfFreeMemoryUpToTheLimit) {
  const auto blocks = [](int64_t free_blocks) {
    return choose_kv_blocks(
               kLayout,
               {.free_bytes = free_blocks * kBlock, .max_model_len = 64, .max_num_seqs = 1 << 20})
        .value();
  };
  EXPECT_EQ(blocks(400), 100);
  EXPECT_EQ(blocks(1 << 20), kAutoKvBytes / kBlock);
}

TEST(KvBlocks, AutomaticIsNoMoreThanAllSequencesCanUse) {
  const auto blocks = choose_kv_blocks(
      kLayout, {.free_bytes = int64_t{1} << 40, .max_model_len = 65, .max_num_seqs = 3});
  EXPECT_EQ(blocks.value(), 6);
}

TEST(KvBlocks, AutomaticMakesRoomForOneLongestSequence) {
  const KvDemand demand{.free_bytes = 100 * kBlock, .max_model_len = 64 * 90, .max_num_seqs = 1};
  EXPECT_EQ(choose_kv_blocks(kLayout, demand).value(), 90);
}

TEST(KvBlocks, AutomaticRefusesWhatDoesNotFitTheMachine) {
  const auto blocks = choose_kv_blocks(
      kLayout, {.free_bytes = 100 * kBlock, .max_model_len = 64 * 101, .max_num_seqs = 1});
  EXPECT_EQ(blocks.status().message(),
            "one sequence of --max-model-len 6464 tokens needs 6.31 MiB of KV cache and 6.25 MiB "
            "of memory are free; lower --max-model-len to at most 6400");
}

TEST(Readable, ThreeDigitsAndAUnit) {
  EXPECT_EQ(readable_bytes(0), "0 bytes");
  EXPECT_EQ(readable_bytes(1536), "1.5 KiB");
  EXPECT_EQ(readable_bytes(int64_t{1} << 30), "1 GiB");
  EXPECT_EQ(readable_bytes(1023), "1023 bytes");
  EXPECT_EQ(readable_count(12100000), "12.1 M");
  EXPECT_EQ(readable_count(999), "999");
}

TEST(ModelName, IsTheLastComponent) {
  EXPECT_EQ(model_name("/a/sluice-tiny"), "sluice-tiny");
  EXPECT_EQ(model_name("/a/sluice-tiny/"), "sluice-tiny");
  EXPECT_EQ(model_name("/a/shape.json"), "shape");
  EXPECT_EQ(model_name("/a/llama-3.1"), "llama-3.1");
}

TEST(AssembleEngine, RefusesBFloat16ActivationsOfFloat32Weights) {
  ServerConfig config;
  config.model = SLUICE_SOURCE_DIR "/models/sluice-tiny";
  config.device = "cpu";
  config.dtype = "float32";
  config.activation_dtype = "bfloat16";
  const auto engine = assemble_engine(config);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.status().message(),
            "--activation-dtype bfloat16: the weights are float32, whose products take float32 "
            "inputs; use --dtype bfloat16 or --activation-dtype auto");
}

TEST(AssembleEngine, ActivationsAreTheDevicesOwnUnlessChosen) {
  ServerConfig config;
  config.model = SLUICE_SOURCE_DIR "/models/sluice-tiny";
  config.device = "cpu";
  EXPECT_EQ(assemble_engine(config).value()->backend->info().activations, DType::kF32);
  config.activation_dtype = "bfloat16";
  EXPECT_EQ(assemble_engine(config).value()->backend->info().activations, DType::kBF16);
}

TEST(ResolveModel, NamesWhatIsMissing) {
  EXPECT_EQ(resolve_model("/no/such").status().message(),
            "/no/such: there is no such model directory or GGUF file");
}

TEST(ResolveModel, FindsTheEmbeddedModelAboveTheBinary) {
  const std::string binary = std::filesystem::read_symlink("/proc/self/exe").string();
  if (!binary.starts_with(SLUICE_SOURCE_DIR)) GTEST_SKIP() << "built outside the source tree";
  const auto embedded = resolve_model("");
  ASSERT_TRUE(embedded.ok()) << embedded.status().message();
  EXPECT_EQ(model_name(embedded.value()), "sluice-tiny");
}

}  // namespace
}  // namespace sluice
