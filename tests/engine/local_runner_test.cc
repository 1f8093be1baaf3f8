// Steps of a small random model: what a row gives does not depend on how it was planned.
#include "engine/runner/local_runner.h"

#include <gtest/gtest.h>

#include <random>

#include "base/check.h"
#include "checkpoint_writer.h"
#include "model_harness.h"

namespace sluice {
namespace {

class LocalRunnerTest : public testing::Test {
 protected:
  LocalRunnerTest() { write_tiny_model(dir_, DType::kF32); }

  std::unique_ptr<ModelHarness> harness(int max_num_batched_tokens = 512,
                                        int max_in_flight = 1) const {
    return std::make_unique<ModelHarness>(
        HarnessOptions{.model = {.path = dir_.path()},
                       .kv_dtype = DType::kBF16,
                       .num_blocks = 256,
                       .max_num_batched_tokens = max_num_batched_tokens,
                       .max_in_flight = max_in_flight});
  }
  static HarnessRequest request(int prompt_len, uint64_t seed) {
    std::mt19937_64 random(seed);
    HarnessRequest request;
    for (int i = 0; i < prompt_len; ++i)
      request.prompt.push_back(static_cast<TokenId>(random() % 40));
    request.sampling.seed = seed;
    request.sampling.max_tokens = 6;
    request.sampling.logprobs = true;
    request.sampling.num_top_logprobs = 5;
    return request;
  }
  static void expect_equal(const TokenLogprob& a, const TokenLogprob& b) {
    EXPECT_EQ(a.logprob, b.logprob);
    EXPECT_EQ(a.rank, b.rank);
    ASSERT_EQ(a.top.size(), b.top.size());
    for (size_t i = 0; i < a.top.size(); ++i) {
      EXPECT_EQ(a.top[i].id, b.top[i].id);
      EXPECT_EQ(a.top[i].logprob, b.top[i].logprob);
    }
  }
  static void expect_equal(const std::vector<StepOutput>& a, const std::vector<StepOutput>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].token, b[i].token);
      expect_equal(a[i].logprob, b[i].logprob);
      ASSERT_EQ(a[i].prompt_logprobs.size(), b[i].prompt_logprobs.size());
      for (size_t p = 0; p < a[i].prompt_logprobs.size(); ++p)
        expect_equal(a[i].prompt_logprobs[p], b[i].prompt_logprobs[p]);
    }
  }

  TempDir dir_;
};

TEST_F(LocalRunnerTest, OutputIsBitIdenticalAloneBatchedAndInChunks) {
  std::vector<HarnessRequest> requests;
  for (int i = 0; i < 65; ++i) requests.push_back(request(1 + i * 2, static_cast<uint64_t>(i)));
  requests[40].sampling.temperature = 0;
  requests[64].sampling.prompt_logprobs = true;
  requests[64].sampling.num_prompt_top_logprobs = 3;
  const auto together = harness()->generate(requests, 512);
  for (const size_t i : {size_t{0}, size_t{40}, size_t{64}}) {
    ASSERT_EQ(together[i].size(), 6U);
    expect_equal(harness()->generate({requests[i]}, 512)[0], together[i]);
    expect_equal(harness()->generate({requests[i]}, 7)[0], together[i]);
  }
}

TEST_F(LocalRunnerTest, ScoringAPromptRepeatsTheLogprobsOfItsGeneration) {
  HarnessRequest generated = request(20, 3);
  generated.sampling.temperature = 0;
  const std::vector<StepOutput> outputs = harness()->generate({generated}, 512)[0];
  HarnessRequest scored = generated;
  for (const StepOutput& output : outputs) scored.prompt.push_back(output.token);
  scored.sampling.prompt_logprobs = true;
  scored.sampling.num_prompt_top_logprobs = 5;
  scored.sampling.max_tokens = 1;
  // A logit row for each of 25 positions and one sampled, in chunks and slices.
  const std::vector<TokenLogprob> scores = harness()->generate({scored}, 9)[0][0].prompt_logprobs;
  ASSERT_EQ(scores.size(), scored.prompt.size() - 1);  // of positions 1 ...
  for (size_t i = 0; i < outputs.size(); ++i) expect_equal(scores[19 + i], outputs[i].logprob);
}

TEST_F(LocalRunnerTest, TakesMoreLogitRowsThanOneSlice) {
  HarnessRequest long_one = request(200, 5);
  long_one.sampling.prompt_logprobs = true;
  const auto whole = harness()->generate({long_one}, 512)[0];
  ASSERT_EQ(whole[0].prompt_logprobs.size(), 199U);
  expect_equal(harness()->generate({long_one}, 10)[0], whole);
}

TEST_F(LocalRunnerTest, LeavesLogprobsOutWhenNobodyAsks) {
  HarnessRequest plain = request(5, 1);
  plain.sampling.logprobs = false;
  const StepOutput output = harness()->generate({plain}, 512)[0][0];
  EXPECT_GE(output.token, 0);
  EXPECT_TRUE(output.logprob.top.empty());
  EXPECT_TRUE(output.prompt_logprobs.empty());
}

// An answer whose tokens are all pending when the next one is planned, beside launches that fail
// before and after they have enqueued something.
TEST_F(LocalRunnerTest, AFailedLaunchLeavesTheStepInFlightAlone) {
  HarnessRequest wanted = request(5, 1);
  wanted.sampling.frequency_penalty = 1;
  const std::vector<StepOutput> alone = harness()->generate({wanted}, 512)[0];
  HarnessRequest broken = request(3, 2);
  broken.sampling.temperature = -1;

  const auto deep = harness(/*max_num_batched_tokens=*/8, /*max_in_flight=*/2);
  LocalRunner& runner = deep->runner();
  const auto sequence = deep->add(wanted);
  const auto big = deep->add(request(9, 3));
  const auto invalid = deep->add(broken);
  std::vector<StepOutput> outputs;
  Ticket before;
  for (size_t i = 0; i < alone.size(); ++i) {
    StepPlan plan;
    plan.entries.push_back(ModelHarness::next_chunk(sequence, 8));
    plan.entries[0].last_is_pending = i > 0;
    for (const auto& other : {big, invalid}) {
      StepPlan bad = plan;
      bad.entries.push_back(ModelHarness::next_chunk(other, 9));
      EXPECT_THROW(runner.launch(bad), InternalError);
    }
    const Ticket ticket = runner.launch(plan);
    sequence->num_computed += plan.entries[0].num_new;
    ++sequence->num_pending;
    if (i > 0) {
      outputs.push_back(runner.collect(before).outputs.at(0));
      sequence->tokens.push_back(outputs.back().token);
      --sequence->num_pending;
    }
    before = ticket;
  }
  outputs.push_back(runner.collect(before).outputs.at(0));
  expect_equal(outputs, alone);
}

TEST_F(LocalRunnerTest, ChecksTheOrderOfItsCallsAndItsLimits) {
  const auto small = harness(/*max_num_batched_tokens=*/8);
  const auto sequence = small->add(request(20, 1));
  StepPlan plan;
  plan.entries.push_back(ModelHarness::next_chunk(sequence, 9));
  EXPECT_THROW(small->runner().launch(plan), InternalError);
  plan.entries[0] = ModelHarness::next_chunk(sequence, 8);
  const Ticket ticket = small->runner().launch(plan);
  EXPECT_THROW(small->runner().launch(plan), InternalError);
  EXPECT_EQ(small->runner().collect(ticket).outputs.size(), 1U);
  EXPECT_THROW(small->runner().collect(ticket), InternalError);
}

}  // namespace
}  // namespace sluice
