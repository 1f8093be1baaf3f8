// Offline runs over the real engine with a runner of hashes.
#include "server/cli/offline.h"

#include <gtest/gtest.h>

#include <memory>

#include "server/cli/random_prompts.h"
#include "tests/fakes/hash_runner.h"

namespace sluice {
namespace {

constexpr int kVocab = 1000;

std::unique_ptr<Engine> make_engine() {
  EngineConfig config;
  config.vocab_size = kVocab;
  config.max_model_len = 256;
  config.num_blocks = 64;
  config.max_num_seqs = 4;
  config.max_num_batched_tokens = 64;
  HashRunner::Options options;
  options.num_blocks = config.num_blocks;
  options.vocab_size = kVocab;
  return std::make_unique<Engine>(config, std::make_unique<HashRunner>(options));
}

OfflineRequest make_request(uint64_t stream, int64_t input_len, int64_t output_len) {
  OfflineRequest request;
  request.prompt = random_tokens(3, stream, input_len, kVocab);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = output_len;
  return request;
}

TEST(RunOffline, EveryRequestGetsItsOwnAnswerWhateverRunsBesideIt) {
  std::vector<OfflineRequest> requests;
  for (uint64_t i = 0; i < 20; ++i) {
    const auto length = static_cast<int64_t>(i);
    requests.push_back(make_request(i, 1 + 9 * length, 1 + length % 5));
  }
  const std::unique_ptr<Engine> engine = make_engine();
  size_t steps = 0, unfinished = 0;
  const auto on_step = [&](const std::vector<Completion>& completions) {
    ++steps;
    unfinished = 0;
    for (const Completion& one : completions) unfinished += one.finish == FinishReason::kNone;
  };
  const auto completions = run_offline(*engine, requests, 6, on_step);
  ASSERT_TRUE(completions.ok()) << completions.status().message();
  EXPECT_GT(steps, requests.size() / 4);
  EXPECT_EQ(unfinished, 0U);
  for (size_t i = 0; i < requests.size(); ++i) {
    const Completion& completion = completions.value()[i];
    EXPECT_EQ(completion.finish, FinishReason::kLength);
    EXPECT_EQ(completion.token_times.size(), completion.tokens.size());
    ASSERT_EQ(completion.tokens.size(), static_cast<size_t>(requests[i].sampling.max_tokens));
    std::vector<TokenId> known = requests[i].prompt;
    for (const TokenId token : completion.tokens) {
      EXPECT_EQ(token, HashRunner::next_token(known, /*greedy=*/true, 0, kVocab)) << i;
      known.push_back(token);
    }
  }
}

TEST(RunOffline, ScoresThePromptWhenAsked) {
  OfflineRequest request = make_request(1, 100, 1);
  request.sampling.prompt_logprobs = true;
  const std::unique_ptr<Engine> engine = make_engine();
  const auto completions = run_offline(*engine, {request}, 1);
  ASSERT_TRUE(completions.ok()) << completions.status().message();
  const std::vector<TokenLogprob>& scores = completions.value()[0].prompt_logprobs;
  ASSERT_EQ(scores.size(), request.prompt.size() - 1);
  const std::span<const TokenId> prompt = request.prompt;
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i].logprob, HashRunner::logprob(prompt.first(i + 1), prompt[i + 1])) << i;
  }
}

TEST(RunOffline, ARefusedRequestFailsTheRun) {
  const std::unique_ptr<Engine> engine = make_engine();
  const auto completions = run_offline(*engine, {make_request(1, 256, 1)}, 1);
  ASSERT_FALSE(completions.ok());
  EXPECT_EQ(run_offline(*engine, {}, 1).value().size(), 0U);
}

}  // namespace
}  // namespace sluice
