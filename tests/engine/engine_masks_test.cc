// Answers that must have a form: how they end, what they cost the others, what goes wrong.
#include <gtest/gtest.h>

#include <ctime>
#include <stdexcept>

#include "base/check.h"
#include "base/log.h"
#include "tests/engine/harness.h"
#include "tests/fakes/fake_grammar.h"

namespace sluice {
namespace {

class EngineMasks : public testing::TestWithParam<int> {
 protected:
  EngineMasks() : config_(small_config()), options_(runner_options(config_)) {
    options_.max_in_flight = GetParam();
  }

  std::shared_ptr<Request> constrained(const std::string& id, FakeGrammarShape shape,
                                       int64_t max_tokens = 100) {
    auto request = make_request(id, count_up(70), max_tokens);
    shape.vocab_size = kTestVocab;
    request->grammar = std::make_shared<FakeGrammar>(std::move(shape));
    return request;
  }
  // Runs until nothing is left to do; how many steps that took.
  int64_t run(const std::vector<std::shared_ptr<Request>>& requests) {
    Engine engine(config_, std::make_unique<HashRunner>(options_));
    for (const auto& request : requests) EXPECT_TRUE(engine.submit(request).ok());
    while (engine.step()) engine.check_invariants();
    EXPECT_FALSE(engine.stats().failed);
    EXPECT_EQ(engine.stats().kv.blocks_held, 0);
    return engine.stats().steps;
  }
  void expect_as_alone(const Request& request) {
    const std::vector<Answer> answers = receive(request);
    for (int choice = 0; choice < request.sampling.n; ++choice) {
      const Answer expected = expected_answer(request, choice, config_.max_model_len);
      const Answer& answer = answers.at(static_cast<size_t>(choice));
      EXPECT_EQ(answer.tokens, expected.tokens) << request.id << " choice " << choice;
      EXPECT_EQ(answer.finish, expected.finish);
      EXPECT_EQ(answer.stop_id, expected.stop_id);
    }
  }

  EngineConfig config_;
  HashRunner::Options options_;
};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, EngineMasks, testing::Values(1, 2));

TEST_P(EngineMasks, TheEndOfTheGrammarIsAStop) {
  const auto request = constrained("whole", {.min_length = 12, .max_length = 12});
  run({request});
  const Answer answer = receive(*request).at(0);
  EXPECT_EQ(answer.finish, FinishReason::kStop);
  EXPECT_EQ(answer.stop_id, std::nullopt);
  EXPECT_EQ(answer.tokens.size(), 12U);
}

TEST_P(EngineMasks, MaxTokensCutsTheAnswer) {
  const auto request = constrained("cut", {.min_length = 12, .max_length = 12}, 5);
  run({request});
  const Answer answer = receive(*request).at(0);
  EXPECT_EQ(answer.finish, FinishReason::kLength);
  EXPECT_EQ(answer.tokens.size(), 5U);
}

TEST_P(EngineMasks, EndOfSequenceIdsEndItWhereItMayEnd) {
  // One id alone may come: where the grammar may end, it or the end-of-sequence id, by the hash.
  const FakeGrammarShape shape{.one_of = 100, .min_length = 3, .max_length = 90};
  const auto ends = constrained("ends", shape);
  const auto ignores = constrained("ignores", shape);
  const auto waits = constrained("waits", shape);
  for (const auto& request : {ends, ignores, waits}) request->eos_ids = count_up(300, 500);
  ignores->sampling.ignore_eos = true;
  waits->sampling.min_tokens = 40;
  const auto copy = [](const Request& request) { return std::make_shared<Request>(request); };
  const auto before = copy(*ends);
  run({ends, ignores, waits});
  const Answer ended = receive(*ends).at(0);
  EXPECT_EQ(ended.finish, FinishReason::kStop);
  EXPECT_TRUE(ended.stop_id);
  EXPECT_LT(ended.tokens.size(), 90U);
  EXPECT_EQ(ended.tokens, expected_answer(*before, 0, config_.max_model_len).tokens);
  expect_as_alone(*ignores);
  expect_as_alone(*waits);
}

TEST_P(EngineMasks, ConstrainedAndFreeChoicesTakeAStepAToken) {
  constexpr int64_t kTokens = 50;
  const auto free = make_request("free", count_up(70), kTokens);
  const auto first = constrained("first", {.max_length = 90}, kTokens);
  const auto second = constrained("second", {.min_length = 90, .max_length = 90}, kTokens);
  second->sampling.n = 3;
  for (const auto& request : {first, second}) request->sampling.min_tokens = kTokens;
  const int64_t steps = run({free, first, second});
  for (const auto& request : {free, first, second}) expect_as_alone(*request);
  // One for each token; few more for the prompts, and for choices that wait for their leader.
  EXPECT_LE(steps, kTokens + 8);
}

TEST_P(EngineMasks, PreemptionTakesNoTokenBack) {
  config_.num_blocks = options_.num_blocks = 6;
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 5; ++i) {
    requests.push_back(constrained(std::string(1, static_cast<char>('a' + i)),
                                   {.min_length = 80, .max_length = 80}));
  }
  Engine engine(config_, std::make_unique<HashRunner>(options_));
  for (const auto& request : requests) EXPECT_TRUE(engine.submit(request).ok());
  while (engine.step()) engine.check_invariants();
  EXPECT_GT(engine.stats().preemptions, 0);
  for (const auto& request : requests) expect_as_alone(*request);
}

TEST_P(EngineMasks, AGrammarThatCannotGoOnFailsItsRequestAlone) {
  const auto stuck = constrained("stuck", {.max_length = 7, .ends = false});
  stuck->sampling.n = 2;
  const auto other = constrained("other", {.min_length = 30});
  run({stuck, other});
  for (const Answer& answer : receive(*stuck)) {
    EXPECT_EQ(answer.finish, FinishReason::kError);
    EXPECT_EQ(answer.error.code(), StatusCode::kInvalidArgument);
  }
  expect_as_alone(*other);
}

TEST_P(EngineMasks, ARequestThatForbidsWhatItsGrammarNeedsIsToBlame) {
  const auto request = constrained("narrow", {.min_length = 12, .max_length = 12});
  request->eos_ids = count_up(kTestVocab - 1);  // below min_tokens only the last id may come
  request->sampling.min_tokens = 3;
  run({request});
  const Answer answer = receive(*request).at(0);
  EXPECT_EQ(answer.finish, FinishReason::kError);
  EXPECT_EQ(answer.error.code(), StatusCode::kInvalidArgument);
}

TEST_P(EngineMasks, AGrammarThatThrowsFailsItsRequestAlone) {
  const auto broken = constrained("broken", {.on_fill = [](int64_t length) {
                                    if (length == 3) throw std::runtime_error("planted");
                                  }});
  const auto other = constrained("other", {.min_length = 30});
  run({broken, other});
  const Answer answer = receive(*broken).at(0);
  EXPECT_EQ(answer.finish, FinishReason::kError);
  EXPECT_EQ(answer.error.code(), StatusCode::kInternal);
  EXPECT_EQ(answer.tokens.size(), 3U);
  expect_as_alone(*other);
}

// What a thread has worked, which no other load on the machine changes.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

TEST(Constraint, AGrammarThatWorksTooLongForATokenFails) {
  auto request = make_request("slow", {1}, 10);
  request->grammar = std::make_shared<FakeGrammar>(FakeGrammarShape{
      .vocab_size = kTestVocab, .on_fill = [](int64_t) {
        for (const double began = thread_seconds(); thread_seconds() < began + 0.3;) {
        }
      }});
  Constraint constraint(*request, kTestVocab);
  constraint.fill();
  EXPECT_EQ(constraint.verdict(), Constraint::Verdict::kFailed);
  EXPECT_EQ(constraint.failure().code(), StatusCode::kInvalidArgument);
}

TEST_P(EngineMasks, AStepThatCannotBeSampledFailsItsRequests) {
  ASSERT_TRUE(set_log_level("off").ok());
  int samples = 0;
  options_.on_sample = [&](const StepPlan&) {
    if (++samples == 4) throw InternalError("planted");
  };
  const auto request = constrained("failed", {.min_length = 30});
  const auto free = make_request("free", count_up(10), 10);
  const auto later = constrained("later", {.min_length = 30});
  Engine engine(config_, std::make_unique<HashRunner>(options_));
  EXPECT_TRUE(engine.submit(request).ok());
  EXPECT_TRUE(engine.submit(free).ok());
  while (engine.step()) engine.check_invariants();
  EXPECT_TRUE(engine.submit(later).ok());
  while (engine.step()) engine.check_invariants();
  ASSERT_TRUE(set_log_level("info").ok());
  EXPECT_EQ(receive(*request).at(0).finish, FinishReason::kError);
  EXPECT_EQ(receive(*free).at(0).finish, FinishReason::kError);
  expect_as_alone(*later);
}

TEST_P(EngineMasks, CancellingAConstrainedChoiceLeavesTheOthers) {
  const auto request = constrained("some", {.min_length = 40, .max_length = 60});
  request->sampling.n = 4;
  Engine engine(config_, std::make_unique<HashRunner>(options_));
  EXPECT_TRUE(engine.submit(request).ok());
  for (int i = 0; i < 12; ++i) engine.step();
  engine.cancel("some", 0);
  engine.cancel("some", 2);
  while (engine.step()) engine.check_invariants();
  const std::vector<Answer> answers = receive(*request);
  for (const int choice : {1, 3}) {
    const Answer expected = expected_answer(*request, choice, config_.max_model_len);
    EXPECT_EQ(answers.at(static_cast<size_t>(choice)).tokens, expected.tokens);
  }
  for (const int choice : {0, 2}) {
    EXPECT_EQ(answers.at(static_cast<size_t>(choice)).finish, FinishReason::kCancelled);
  }
}

}  // namespace
}  // namespace sluice
