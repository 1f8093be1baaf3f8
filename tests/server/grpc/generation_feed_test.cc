// The order and the size of a generation's messages.
#include "server/grpc/generation_feed.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_service.h"

namespace sluice {
namespace {

using Next = GenerationFeed::Next;

class GenerationFeedTest : public testing::Test {
 protected:
  std::unique_ptr<GenerationFeed> feed(int64_t max_tokens, int n = 1) {
    GenerateCall call;
    call.prompt = prompt;
    call.sampling.n = n;
    call.sampling.max_tokens = max_tokens;
    call.max_tokens_given = true;
    call.sampling.logprobs = logprobs;
    call.sampling.num_top_logprobs = logprobs ? 20 : 0;
    call.sampling.prompt_logprobs = prompt_logprobs;
    GenerationFeed::Call about{.request_id = "id",
                               .model = "tiny",
                               .n = n,
                               .prompt_logprobs = prompt_logprobs,
                               .stop_ids = {},
                               .arrival = std::chrono::steady_clock::now()};
    return std::make_unique<GenerationFeed>(service.generate(std::move(call)).value(),
                                            std::move(about), metrics);
  }
  // All messages of a feed that need not wait; sets `last`.
  std::vector<v1::GenerateResponse> drain(GenerationFeed& from) {
    std::vector<v1::GenerateResponse> out;
    v1::GenerateResponse message;
    while ((last = from.next(&message)) == Next::kMessage) out.push_back(message);
    if (last == Next::kLast) out.push_back(message);
    return out;
  }

  std::string prompt = "hi";
  bool logprobs = false;
  bool prompt_logprobs = false;
  Next last = Next::kWait;
  FakeService service;
  Metrics metrics{"tiny"};
};

TEST_F(GenerationFeedTest, BeginsWithTheStartAndEndsWithUsageAndTimings) {
  const auto messages = drain(*feed(3));
  EXPECT_EQ(last, Next::kLast);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].start().request_id(), "id");
  EXPECT_EQ(messages[0].start().model(), "tiny");
  EXPECT_EQ(messages[0].start().prompt_tokens(), 2);
  std::string text;
  for (const v1::ChoiceDelta& choice : messages[1].choices()) text += choice.text();
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(messages[1].choices().rbegin()->finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(messages[1].end().usage().completion_tokens(), 3);
  EXPECT_EQ(messages[1].end().usage().cached_tokens(), 1);
  EXPECT_TRUE(messages[1].end().timings().has_time_to_first_token());
  EXPECT_TRUE(messages[1].end().timings().has_total());
}

TEST_F(GenerationFeedTest, TakesNothingWhileThereIsNothing) {
  service.hold = true;
  const auto under_test = feed(2);
  int wakes = 0;
  under_test->set_notifier([&wakes] { ++wakes; });
  EXPECT_EQ(drain(*under_test).size(), 1U);
  EXPECT_EQ(last, Next::kWait);
  service.release(1);
  EXPECT_EQ(wakes, 1);
  EXPECT_EQ(drain(*under_test).size(), 1U);
  EXPECT_EQ(last, Next::kWait);
}

TEST_F(GenerationFeedTest, NoMessageIsLargeHoweverMuchHasPiledUp) {
  logprobs = true;
  const auto messages = drain(*feed(5'000, 2));
  EXPECT_EQ(last, Next::kLast);
  size_t tokens = 0;
  for (const v1::GenerateResponse& message : messages) {
    EXPECT_LT(message.ByteSizeLong(), 4 * GenerationFeed::kMessageBytes);
    for (const v1::ChoiceDelta& choice : message.choices()) {
      tokens += static_cast<size_t>(choice.token_ids_size());
      EXPECT_EQ(choice.token_ids_size(), choice.logprobs_size());
    }
  }
  EXPECT_EQ(tokens, 10'000U);
  EXPECT_GT(messages.size(), 20U);
}

// One delta of one token whose text is long: cut between characters only.
TEST_F(GenerationFeedTest, LongTextIsCutBetweenCharacters) {
  service.token_text.emplace();
  for (int i = 0; i < 30'000; ++i) *service.token_text += "\u20AC";  // three bytes
  const auto messages = drain(*feed(1));
  std::string text;
  int pieces = 0;
  for (const v1::GenerateResponse& message : messages) {
    for (const v1::ChoiceDelta& choice : message.choices()) {
      EXPECT_LE(choice.text().size(), GenerationFeed::kPieceBytes);
      EXPECT_EQ(choice.text().size() % 3, 0U);
      text += choice.text();
      ++pieces;
    }
  }
  EXPECT_EQ(text, service.token_text);
  EXPECT_GT(pieces, 5);
}

TEST_F(GenerationFeedTest, PromptScoresComeInPartsBeforeTheText) {
  prompt = std::string(300, 'x');
  prompt_logprobs = true;
  const auto messages = drain(*feed(1));
  std::vector<int> parts;
  for (const v1::GenerateResponse& message : messages)
    parts.push_back(message.prompt_logprobs_size());
  EXPECT_EQ(parts, (std::vector<int>{0, 128, 128, 44, 0}));
  EXPECT_FALSE(messages[1].prompt_logprobs(0).has_logprob());
  EXPECT_EQ(messages[1].prompt_logprobs(1).token(), "x");
  EXPECT_TRUE(messages[1].prompt_logprobs(1).has_logprob());
}

TEST_F(GenerationFeedTest, AFailureComesAfterWhatWasGood) {
  service.fail = Status(StatusCode::kInternal, "broken");
  const auto under_test = feed(3);
  const auto messages = drain(*under_test);
  EXPECT_EQ(last, Next::kFailed);
  EXPECT_EQ(under_test->status().message(), "broken");
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[1].choices_size(), 2);  // the third token came with the failure
  EXPECT_FALSE(messages[1].has_end());
}

}  // namespace
}  // namespace sluice
