// Verdicts of evaluations, and the readers of their files.
#include "server/cli/eval_data.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace sluice {
namespace {

constexpr double kTolerance = 0.05;

GoldenCase golden() {
  return {.prompt_ids = {1, 2},
          .top_ids = {5, 6},
          .top_logprobs = {-0.5, -1.0},
          .greedy_ids = {5, 7, 9},
          .greedy_logprobs = {-0.5, -0.1, -0.2},
          .top2_gap = {0.5, 3, 0.01}};
}

Completion completion(const std::vector<TokenId>& ids, const std::vector<float>& logprobs) {
  Completion made;
  made.tokens = ids;
  for (const float logprob : logprobs) made.logprobs.emplace_back().logprob = logprob;
  made.logprobs.front().top = {{5, -0.5F}, {6, -1.0F}, {8, -9.0F}};
  return made;
}

TEST(Golden, EqualIdsGiveTheLargestErrorOfTheirLogprobs) {
  const GoldenVerdict verdict =
      judge(golden(), completion({5, 7, 9}, {-0.51F, -0.1F, -0.2F}), kTolerance);
  EXPECT_EQ(verdict.num_equal, 3);
  EXPECT_TRUE(verdict.ids_ok);
  EXPECT_NEAR(verdict.error, 0.01, 1e-6);
}

TEST(Golden, TheFirstStepsBestIdsCountToo) {
  GoldenCase other = golden();
  other.top_logprobs[1] = -9;
  const GoldenVerdict verdict =
      judge(other, completion({5, 7, 9}, {-0.5F, -0.1F, -0.2F}), kTolerance);
  EXPECT_NEAR(verdict.error, 8, 1e-6);
}

TEST(Golden, OnlyANearTieExcusesAnotherId) {
  EXPECT_TRUE(judge(golden(), completion({5, 7, 8}, {-0.5F, -0.1F, -0.2F}), kTolerance).ids_ok);
  EXPECT_FALSE(judge(golden(), completion({5, 6, 9}, {-0.5F, -0.1F, -0.2F}), kTolerance).ids_ok);
  EXPECT_FALSE(judge(golden(), completion({5, 7, 8}, {-0.5F, -0.1F, -0.2F}), 0.005).ids_ok);
}

TEST(Golden, ShortAnswersFail) {
  EXPECT_FALSE(judge(golden(), completion({5, 7}, {-0.5F, -0.1F}), kTolerance).ids_ok);
  EXPECT_FALSE(judge(golden(), Completion(), kTolerance).ids_ok);
}

TEST(Golden, NumbersThatAreNoneAreInfinitelyWrong) {
  EXPECT_TRUE(
      std::isinf(judge(golden(), completion({5, 7, 9}, {-0.5F, NAN, -0.2F}), kTolerance).error));
}

TEST(Golden, TheEmbeddedModelsFilesAreReadable) {
  const std::string folder = std::string(SLUICE_SOURCE_DIR) + "/models/sluice-tiny/golden/";
  const auto cases = read_golden(folder + "golden.json");
  ASSERT_TRUE(cases.ok()) << cases.status().message();
  EXPECT_GE(cases.value().size(), 10U);
  const auto questions = read_retrieval(folder + "eval.jsonl");
  ASSERT_TRUE(questions.ok()) << questions.status().message();
  for (const RetrievalCase& question : questions.value()) {
    EXPECT_EQ(question.tokens, static_cast<int64_t>(question.prompt_ids.size()));
  }
}

TEST(Golden, BrokenFilesAreNamedWithTheirLine) {
  const std::string path = ::testing::TempDir() + "sluice_eval_data_test.jsonl";
  std::ofstream(path) << R"({"task": "a", "tokens": 1, "prompt_ids": [1], "answer": "x",)"
                      << R"( "dense_correct": true})" << "\n{\n";
  EXPECT_EQ(read_retrieval(path).status().message().substr(0, path.size() + 3), path + ":2:");
  std::ofstream(path) << R"([{"prompt_ids": [1], "top10_ids": [], "top10_logprobs": [],)"
                      << R"( "greedy_ids": [1], "greedy_logprobs": [], "top2_gap": [1]}])";
  EXPECT_EQ(read_golden(path).status().message(),
            path + ": a case's lists are empty or differ in length");
  EXPECT_FALSE(read_golden("/nonexistent").ok());
}

TEST(Spread, TakesEvenlyAndNeverTwice) {
  EXPECT_EQ(spread(6, 3), (std::vector<size_t>{0, 2, 4}));
  EXPECT_EQ(spread(3, 10), (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(spread(2, 0), (std::vector<size_t>{0, 1}));
  EXPECT_TRUE(spread(0, 5).empty());
}

}  // namespace
}  // namespace sluice
