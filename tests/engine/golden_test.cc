// The embedded model against float32 outputs of a reference implementation: tokens, logprobs, best
// first tokens (models/sluice-tiny/golden/golden.json).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "model_harness.h"

namespace sluice {
namespace {

const std::string kModel = std::string(SLUICE_SOURCE_DIR) + "/models/sluice-tiny";

// A step whose two best logits are closer than this may go either way: rounding decides.
constexpr double kNearTie = 0.05;
// In float32 only the order of additions differs; measured: 0.0002. In bfloat16 the cache's 8 bits
// and the 16 of the products' inputs move a logprob by up to 0.04.
constexpr double kToleranceF32 = 0.02;
constexpr double kToleranceBF16 = 0.05;

struct Golden {
  HarnessRequest request;
  std::vector<TokenId> ids;
  std::vector<double> logprobs;
  std::vector<double> gaps;         // between the two best logits
  std::map<TokenId, double> first;  // the ten best first tokens
};

std::vector<Golden> read_goldens(size_t min_prompt, size_t max_prompt) {
  std::ifstream in(kModel + "/golden/golden.json");
  std::vector<Golden> goldens;
  for (const auto& entry : nlohmann::json::parse(in)) {
    Golden golden;
    golden.request.prompt = entry["prompt_ids"].get<std::vector<TokenId>>();
    const size_t length = golden.request.prompt.size();
    if (length < min_prompt || length > max_prompt) continue;
    golden.ids = entry["greedy_ids"].get<std::vector<TokenId>>();
    golden.logprobs = entry["greedy_logprobs"].get<std::vector<double>>();
    golden.gaps = entry["top2_gap"].get<std::vector<double>>();
    const auto best_ids = entry["top10_ids"].get<std::vector<TokenId>>();
    const auto best_logprobs = entry["top10_logprobs"].get<std::vector<double>>();
    for (size_t i = 0; i < best_ids.size(); ++i) golden.first[best_ids[i]] = best_logprobs[i];
    golden.request.sampling.temperature = 0;
    golden.request.sampling.max_tokens = static_cast<int64_t>(golden.ids.size());
    golden.request.sampling.logprobs = true;
    golden.request.sampling.num_top_logprobs = kMaxTopLogprobs;
    goldens.push_back(std::move(golden));
  }
  return goldens;
}

void expect_golden(const Golden& golden, const std::vector<StepOutput>& outputs, double tolerance) {
  ASSERT_EQ(outputs.size(), golden.ids.size());
  std::map<TokenId, double> first;
  for (const TopLogprob& top : outputs[0].logprob.top) first[top.id] = top.logprob;
  for (const auto& [id, logprob] : golden.first) {
    ASSERT_TRUE(first.contains(id)) << "first token " << id;
    EXPECT_NEAR(first[id], logprob, tolerance) << "first token " << id;
  }
  for (size_t i = 0; i < golden.ids.size(); ++i) {
    if (outputs[i].token != golden.ids[i]) {
      EXPECT_LT(golden.gaps[i], kNearTie) << "token " << i;
      return;
    }
    EXPECT_NEAR(outputs[i].logprob.logprob, golden.logprobs[i], tolerance) << "token " << i;
  }
}

void expect_goldens(const std::vector<Golden>& goldens, DType dtype) {
  int64_t blocks = 0;
  std::vector<HarnessRequest> requests;
  for (const Golden& golden : goldens) {
    requests.push_back(golden.request);
    blocks += ceil_div(static_cast<int64_t>(golden.request.prompt.size() + golden.ids.size()),
                       kBlockTokens);
  }
  ModelHarness harness({.model = {.path = kModel, .dtype = dtype, .max_model_len = 8192},
                        .kv_dtype = dtype,
                        .num_blocks = static_cast<int>(blocks),
                        .max_num_batched_tokens = 1024});
  const auto outputs = harness.generate(requests, 1024);
  for (size_t i = 0; i < goldens.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "prompt of " << requests[i].prompt.size() << " tokens");
    expect_golden(goldens[i], outputs[i], dtype == DType::kF32 ? kToleranceF32 : kToleranceBF16);
  }
}

constexpr size_t kShort = 500;

TEST(Golden, ShortPromptsInFloat32) {
  const std::vector<Golden> goldens = read_goldens(1, kShort);
  ASSERT_EQ(goldens.size(), 11U);
  expect_goldens(goldens, DType::kF32);
}

TEST(Golden, ShortPromptsInBFloat16) { expect_goldens(read_goldens(1, kShort), DType::kBF16); }

TEST(GoldenLong, LongPromptsInFloat32) {
  const std::vector<Golden> goldens = read_goldens(kShort + 1, SIZE_MAX);
  ASSERT_EQ(goldens.size(), 4U);
  expect_goldens(goldens, DType::kF32);
}

TEST(GoldenLong, LongPromptsInBFloat16) {
  expect_goldens(read_goldens(kShort + 1, SIZE_MAX), DType::kBF16);
}

}  // namespace
}  // namespace sluice
