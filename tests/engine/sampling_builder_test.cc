// Sampling parameters as rows; the histories behind penalties.
#include "engine/runner/sampling_builder.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice {
namespace {

constexpr int kVocab = 50;

std::shared_ptr<Sequence> make_sequence(const SamplingParams& params, std::vector<TokenId> prompt,
                                        std::vector<TokenId> eos_ids = {}) {
  auto request = std::make_shared<Request>();
  request->prompt = prompt;
  request->sampling = params;
  request->eos_ids = std::move(eos_ids);
  auto sequence = std::make_shared<Sequence>();
  sequence->request = request;
  sequence->tokens = std::move(prompt);
  sequence->state = SequenceState::kRunning;
  return sequence;
}

// Entries of the only row of a batch built for `sequence`, id -> count.
std::map<TokenId, int> history_of(SamplingBuilder& builder,
                                  const std::shared_ptr<Sequence>& sequence) {
  SamplingBatch batch;
  builder.add_sample_row(sequence, -1, false, batch);
  batch.validate(kVocab);
  std::map<TokenId, int> history;
  for (size_t i = 0; i < batch.history_ids.size(); ++i)
    EXPECT_TRUE(history.emplace(batch.history_ids[i], batch.history_counts[i]).second);
  return history;
}

TEST(SamplingBuilder, CopiesEveryParameterIntoItsRow) {
  SamplingParams params;
  params.temperature = 0.7F;
  params.top_p = 0.8F;
  params.top_k = 11;
  params.min_p = 0.1F;
  params.logit_bias = {{3, 1.5F}, {4, -2.0F}};
  params.allowed_token_ids = {3, 4, 5};
  params.banned_token_ids = {5};
  params.logprobs = true;
  params.num_top_logprobs = 7;
  const auto biased = make_sequence(params, {1, 2});
  biased->seed = 99;
  biased->tokens.push_back(9);
  const auto plain = make_sequence({}, {1});

  SamplingBuilder builder;
  SamplingBatch batch;
  builder.add_sample_row(plain, -1, false, batch);
  builder.add_sample_row(biased, -1, false, batch);
  batch.validate(kVocab);
  EXPECT_EQ(batch.temperature, (std::vector<float>{1.0F, 0.7F}));
  EXPECT_EQ(batch.top_p, (std::vector<float>{1.0F, 0.8F}));
  EXPECT_EQ(batch.top_k, (std::vector<int32_t>{0, 11}));
  EXPECT_EQ(batch.min_p, (std::vector<float>{0.0F, 0.1F}));
  EXPECT_EQ(batch.seed, (std::vector<uint64_t>{0, 99}));
  EXPECT_EQ(batch.draw, (std::vector<int64_t>{0, 1}));  // the output token's index
  EXPECT_EQ(batch.num_top, (std::vector<int32_t>{0, 7}));
  EXPECT_EQ(batch.target, (std::vector<TokenId>{-1, -1}));
  EXPECT_EQ(batch.bias_indptr, (std::vector<int32_t>{0, 0, 2}));
  EXPECT_EQ(batch.bias_ids, (std::vector<TokenId>{3, 4}));
  EXPECT_EQ(batch.bias_values, (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(batch.allowed_ids, (std::vector<TokenId>{3, 4, 5}));
  EXPECT_EQ(batch.banned_ids, (std::vector<TokenId>{5}));
  EXPECT_EQ(builder.num_histories(), 0U);  // nobody asked for penalties
}

TEST(SamplingBuilder, ScoresWithoutThePenaltiesOfTheRequest) {
  SamplingParams params;
  params.presence_penalty = 1;
  params.banned_token_ids = {2};
  params.prompt_logprobs = true;
  params.num_prompt_top_logprobs = 3;
  const auto sequence = make_sequence(params, {1, 2, 3});
  SamplingBuilder builder;
  SamplingBatch batch;
  builder.add_score_row(*sequence, 1, batch);
  batch.validate(kVocab);
  EXPECT_EQ(batch.target, (std::vector<TokenId>{2}));
  EXPECT_EQ(batch.num_top, (std::vector<int32_t>{3}));
  EXPECT_EQ(batch.presence_penalty, (std::vector<float>{0}));
  EXPECT_TRUE(batch.banned_ids.empty());
}

TEST(SamplingBuilder, BansEndIdsBelowMinTokens) {
  SamplingParams params;
  params.min_tokens = 1;
  params.stop_token_ids = {7};
  params.banned_token_ids = {9};
  const auto banned = [](const std::shared_ptr<Sequence>& sequence) {
    SamplingBuilder builder;
    SamplingBatch batch;
    builder.add_sample_row(sequence, -1, false, batch);
    return batch.banned_ids;
  };
  const auto sequence = make_sequence(params, {1}, {4, 5});
  EXPECT_EQ(banned(sequence), (std::vector<TokenId>{9, 7, 4, 5}));
  sequence->tokens.push_back(8);
  EXPECT_EQ(banned(sequence), (std::vector<TokenId>{9}));
  params.ignore_eos = true;  // an end-of-sequence id ends nothing then, so it may come
  EXPECT_EQ(banned(make_sequence(params, {1}, {4, 5})), (std::vector<TokenId>{9, 7}));
}

// A token that is still in flight counts for the number of the draw and for min_tokens; for the
// penalties the backend counts it.
TEST(SamplingBuilder, CountsAPendingToken) {
  SamplingParams params;
  params.min_tokens = 2;
  params.frequency_penalty = 0.5F;
  const auto sequence = make_sequence(params, {1}, {4});
  sequence->tokens.push_back(8);
  SamplingBuilder builder;
  SamplingBatch batch;
  builder.add_sample_row(sequence, -1, false, batch);
  builder.add_sample_row(sequence, 5, false, batch);
  batch.validate(kVocab, /*num_sampled=*/6);
  EXPECT_EQ(batch.pending, (std::vector<int32_t>{-1, 5}));
  EXPECT_EQ(batch.draw, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(batch.banned_ids, (std::vector<TokenId>{4}));  // the first row's
  EXPECT_EQ(batch.history_ids, (std::vector<TokenId>{8, 8}));
  EXPECT_EQ(batch.history_counts, (std::vector<int32_t>{1, 1}));
  EXPECT_THROW(batch.validate(kVocab, /*num_sampled=*/5), InternalError);
}

TEST(SamplingBuilder, CountsOutputAndSeesThePromptOnlyForTheRepetitionPenalty) {
  SamplingParams params;
  params.frequency_penalty = 0.5F;
  const auto frequency = make_sequence(params, {1, 2});
  params.repetition_penalty = 1.1F;
  const auto repetition = make_sequence(params, {1, 2});
  SamplingBuilder builder;
  EXPECT_EQ(history_of(builder, frequency), (std::map<TokenId, int>{}));
  EXPECT_EQ(history_of(builder, repetition), (std::map<TokenId, int>{{1, 0}, {2, 0}}));
  for (const auto& sequence : {frequency, repetition}) {
    for (const TokenId id : {2, 3, 3}) sequence->tokens.push_back(id);
  }
  EXPECT_EQ(history_of(builder, frequency), (std::map<TokenId, int>{{2, 1}, {3, 2}}));
  EXPECT_EQ(history_of(builder, repetition), (std::map<TokenId, int>{{1, 0}, {2, 1}, {3, 2}}));
}

TEST(SamplingBuilder, IncrementalHistoryEqualsACountFromScratch) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  SamplingParams params;
  params.repetition_penalty = 2;
  std::vector<TokenId> prompt(1 + random() % 20);
  for (TokenId& id : prompt) id = static_cast<TokenId>(random() % kVocab);
  const auto sequence = make_sequence(params, prompt);
  SamplingBuilder builder;
  for (int step = 0; step < 100; ++step) {
    std::map<TokenId, int> expected;
    for (size_t i = 0; i < sequence->tokens.size(); ++i)
      expected[sequence->tokens[i]] += i >= prompt.size() ? 1 : 0;
    ASSERT_EQ(history_of(builder, sequence), expected);
    sequence->tokens.push_back(static_cast<TokenId>(random() % kVocab));
  }
}

TEST(SamplingBuilder, ForgetsWhatIsFinishedOrGone) {
  SamplingParams params;
  params.presence_penalty = 1;
  SamplingBuilder builder;
  auto gone = make_sequence(params, {1});
  const auto finished = make_sequence(params, {1});
  const auto preempted = make_sequence(params, {1});
  for (const auto& sequence : {gone, finished, preempted}) history_of(builder, sequence);
  EXPECT_EQ(builder.num_histories(), 3U);
  gone.reset();
  finished->state = SequenceState::kFinished;
  preempted->state = SequenceState::kWaiting;
  builder.forget_finished();
  EXPECT_EQ(builder.num_histories(), 1U);
}

}  // namespace
}  // namespace sluice
