// Warm-up: which steps it takes, and that nothing of them stays.
#include "engine/runner/warm_up.h"

#include <gtest/gtest.h>

#include <set>

#include "checkpoint_writer.h"
#include "model_harness.h"

namespace sluice {
namespace {

TEST(WarmUp, CoversEveryPowerOfTwoAndTheLargestStepAsPromptsAndAsDecodes) {
  const RunnerLimits limits{.max_num_batched_tokens = 1000, .max_num_seqs = 48};
  constexpr int64_t kMaxModelLen = 300;
  constexpr int kBlocks = 8;
  std::multiset<int64_t> prompts, decodes;
  for (const StepPlan& plan : warm_up_plans(limits, kMaxModelLen, kBlocks)) {
    ASSERT_LE(plan.num_tokens(), limits.max_num_batched_tokens);
    ASSERT_LE(static_cast<int>(plan.entries.size()), limits.max_num_seqs);
    const bool decode = plan.entries.front().first > 0;
    (decode ? decodes : prompts).insert(plan.num_tokens());
    for (const StepEntry& entry : plan.entries) {
      EXPECT_EQ(entry.first > 0, decode);
      EXPECT_LE(entry.first + entry.num_new, kMaxModelLen);
      EXPECT_GE(entry.sequence->table.capacity_tokens(), entry.first + entry.num_new);
      for (const BlockId block : entry.sequence->table.blocks) EXPECT_LT(block, kBlocks);
    }
  }
  EXPECT_EQ(prompts, (std::multiset<int64_t>{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000}));
  EXPECT_EQ(decodes, (std::multiset<int64_t>{1, 2, 4, 8, 16, 32, 48}));
}

TEST(WarmUp, LeavesNothingThatALaterStepCouldSee) {
  const TempDir dir;
  write_tiny_model(dir, DType::kF32);
  const HarnessOptions options{.model = {.path = dir.path()}, .max_num_batched_tokens = 64};
  HarnessRequest request;
  request.prompt = {3, 1, 4, 1, 5};
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 8;
  const auto tokens_of = [&](ModelHarness& harness) {
    const std::vector<StepOutput> outputs = harness.generate({request}, 64)[0];
    std::vector<TokenId> tokens;
    for (const StepOutput& output : outputs) tokens.push_back(output.token);
    return tokens;
  };
  ModelHarness cold(options), warm(options);
  const RunnerLimits limits{.max_num_batched_tokens = 64};
  EXPECT_GT(warm_up(warm.runner(), limits, /*max_model_len=*/64, options.num_blocks), 0);
  EXPECT_EQ(tokens_of(warm), tokens_of(cold));
}

}  // namespace
}  // namespace sluice
