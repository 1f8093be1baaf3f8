#include "engine/engine.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "base/log.h"
#include "base/text.h"
#include "tests/engine/harness.h"

namespace sluice {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// An engine that is stepped by hand, on a clock that only the test moves.
class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(set_log_level("off").ok()); }  // failures are meant here
  void TearDown() override { ASSERT_TRUE(set_log_level("info").ok()); }

  void make(const EngineConfig& config, HashRunner::Options options) {
    engine_ = std::make_unique<Engine>(config, std::make_unique<HashRunner>(std::move(options)),
                                       [this] { return now_; });
    config_ = config;
  }
  void make(const EngineConfig& config = small_config()) { make(config, runner_options(config)); }

  void submit(const std::shared_ptr<Request>& request) {
    const Status status = engine_->submit(request);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void step(int times) {
    for (int i = 0; i < times; ++i) engine_->step();
  }
  void run_dry() {
    for (int i = 0; i < 10000; ++i) {
      if (!engine_->step()) return;
      engine_->check_invariants();
    }
    FAIL() << "still running";
  }
  void expect_right(const Request& request, const Answer& answer, int choice = 0) {
    const Answer expected = expected_answer(request, choice, config_.max_model_len);
    EXPECT_EQ(answer.tokens, expected.tokens);
    EXPECT_EQ(answer.finish, expected.finish);
    EXPECT_EQ(answer.num_finishes, 1);
  }

  Engine::TimePoint now_{};
  EngineConfig config_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, StreamsATokenAStepAndFinishesWithTheLast) {
  make();
  const auto request = make_request("a", count_up(10), 3);
  submit(request);
  EXPECT_TRUE(engine_->step());
  EXPECT_EQ(receive(*request)[0].tokens.size(), 1U);
  EXPECT_TRUE(engine_->step());
  EXPECT_TRUE(engine_->step());
  const auto events = request->output->drain();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].finish, FinishReason::kNone);
  EXPECT_TRUE(events[1].token.has_value());
  EXPECT_EQ(events[1].finish, FinishReason::kLength);
  EXPECT_FALSE(engine_->step());
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(stats.prompt_tokens, 10);
  EXPECT_EQ(stats.generation_tokens, 3);
  EXPECT_EQ(stats.steps, 3);
  EXPECT_EQ(stats.requests_finished, 1);
}

TEST_F(EngineTest, AStopIdIsInTheEventThatItEnds) {
  make();
  const auto request = make_request("a", count_up(10), 30);
  const std::vector<TokenId> all = expected_answer(*request, 0, config_.max_model_len).tokens;
  request->eos_ids = {all[4]};
  submit(request);
  run_dry();
  const Answer answer = receive(*request)[0];
  EXPECT_EQ(answer.tokens, std::vector<TokenId>(all.begin(), all.begin() + 5));
  EXPECT_EQ(answer.finish, FinishReason::kStop);
  EXPECT_EQ(answer.stop_id, all[4]);
}

TEST_F(EngineTest, ReportsCachedTokensOnceAndForgetsThemOnReset) {
  make();
  for (const auto& [id, cached] : {std::pair{"cold", 0}, {"warm", 192}}) {
    const auto request = make_request(id, count_up(200), 4);
    request->sampling.n = 2;
    submit(request);
    run_dry();
    const auto answers = receive(*request);
    EXPECT_EQ(answers[0].cached_tokens, cached);
    EXPECT_EQ(answers[1].cached_tokens, 0);
    expect_right(*request, answers[1], 1);
  }
  EXPECT_EQ(engine_->stats().kv.prefix_hit_tokens, 192);
  engine_->reset_prefix_cache();
  const auto request = make_request("reset", count_up(200), 4);
  submit(request);
  run_dry();
  EXPECT_EQ(receive(*request)[0].cached_tokens, 0);
}

TEST_F(EngineTest, ScoresAPromptWithoutGenerating) {
  make();
  for (const int length : {1, 2, 64, 300}) {
    const auto request = make_request(str("length ", length), count_up(length), 0);
    request->sampling.prompt_logprobs = true;
    submit(request);
    run_dry();
    const Answer answer = receive(*request)[0];
    EXPECT_TRUE(answer.tokens.empty());
    EXPECT_EQ(answer.finish, FinishReason::kLength);
    EXPECT_EQ(answer.num_events, 1);
    EXPECT_EQ(answer.prompt_logprobs,
              expected_answer(*request, 0, config_.max_model_len).prompt_logprobs);
  }
}

TEST_F(EngineTest, SeedsDifferByChoiceAndByRequest) {
  make();
  std::vector<std::vector<TokenId>> outputs;
  for (const char* id : {"a", "b"}) {
    const auto request = make_request(id, count_up(10), 8);
    request->sampling.temperature = 1;
    request->sampling.n = 2;
    submit(request);
    run_dry();
    for (Answer& answer : receive(*request)) outputs.push_back(std::move(answer.tokens));
  }
  std::ranges::sort(outputs);
  EXPECT_EQ(std::ranges::adjacent_find(outputs), outputs.end());
}

TEST_F(EngineTest, RefusesAnIdThatIsRunning) {
  make();
  const auto first = make_request("same", count_up(10), 5);
  const auto second = make_request("same", count_up(20), 5);
  second->sampling.n = 2;
  submit(first);
  submit(second);
  run_dry();
  expect_right(*first, receive(*first)[0]);
  for (const Answer& answer : receive(*second)) {
    EXPECT_EQ(answer.finish, FinishReason::kError);
    EXPECT_EQ(answer.error.code(), StatusCode::kInvalidArgument);
  }
}

TEST_F(EngineTest, CancelsAtAnyMoment) {
  for (const int in_flight : {1, 2}) {
    for (int moment = 0; moment < 12; ++moment) {
      SCOPED_TRACE(str("in flight ", in_flight, ", after ", moment, " steps"));
      EngineConfig config = small_config();
      config.max_num_batched_tokens = 60;
      HashRunner::Options options = runner_options(config);
      options.max_in_flight = in_flight;
      make(config, options);
      const auto other = make_request("other", count_up(100), 12);
      const auto request = make_request("a", count_up(150), 9);
      request->sampling.n = 3;
      submit(other);
      submit(request);
      step(moment);
      engine_->cancel("a", moment % 4 == 3 ? kAllChoices : moment % 4);
      engine_->cancel("nobody");
      run_dry();
      expect_right(*other, receive(*other)[0]);
      for (const Answer& answer : receive(*request)) EXPECT_EQ(answer.num_finishes, 1);
      EXPECT_EQ(engine_->stats().kv.blocks_held, 0);
    }
  }
}

TEST_F(EngineTest, AFailedStepFailsItsRequestsOnly) {
  for (const int in_flight : {1, 2}) {
    for (const bool in_launch : {true, false}) {
      SCOPED_TRACE(str("in flight ", in_flight, in_launch ? ", launch" : ", collect"));
      const EngineConfig config = small_config();
      HashRunner::Options options = runner_options(config);
      options.max_in_flight = in_flight;
      int calls = 0;
      const auto fail_fourth = [&calls] {
        if (++calls == 4) throw InternalError("the device hiccuped");
      };
      if (in_launch) {
        options.on_launch = [&](const StepPlan&) { fail_fourth(); };
      } else {
        options.on_collect = [&](uint64_t) { fail_fourth(); };
      }
      make(config, options);
      const auto hit = make_request("hit", count_up(100), 20);
      hit->sampling.n = 2;
      submit(hit);
      step(5);
      const auto later = make_request("later", count_up(100), 20);
      submit(later);
      run_dry();
      for (const Answer& answer : receive(*hit)) {
        EXPECT_EQ(answer.finish, FinishReason::kError);
        EXPECT_EQ(answer.error.code(), StatusCode::kInternal);
      }
      expect_right(*later, receive(*later)[0]);
      const EngineStats stats = engine_->stats();
      EXPECT_EQ(stats.requests_failed, 1);
      EXPECT_EQ(stats.kv.blocks_held, 0);
      EXPECT_FALSE(stats.failed);
    }
  }
}

TEST_F(EngineTest, ADeviceThatKeepsFailingEndsTheService) {
  const EngineConfig config = small_config();
  HashRunner::Options options = runner_options(config);
  options.on_launch = [](const StepPlan&) { throw std::runtime_error("gone"); };
  make(config, options);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(engine_->stats().failed) << "after " << i << " failures";
    const auto request = make_request(str(i), count_up(10), 5);
    submit(request);
    engine_->step();
    EXPECT_EQ(receive(*request)[0].finish, FinishReason::kError);
  }
  EXPECT_TRUE(engine_->stats().failed);
  EXPECT_EQ(engine_->submit(make_request("late", {1}, 1)).code(), StatusCode::kInternal);
}

TEST_F(EngineTest, ABugInTheLoopAnswersEverybodyAndStopsTheService) {
  EngineConfig config = small_config();
  config.max_num_seqs = 1;
  HashRunner::Options options = runner_options(config);
  options.vocab_size = kTestVocab * 1000;  // the runner speaks of ids that do not exist
  make(config, options);
  const auto running = make_request("running", count_up(10), 50);
  const auto waiting = make_request("waiting", count_up(10), 50);
  submit(running);
  submit(waiting);
  run_dry();
  for (const auto& request : {running, waiting}) {
    const Answer answer = receive(*request)[0];
    EXPECT_EQ(answer.finish, FinishReason::kError);
    EXPECT_EQ(answer.num_finishes, 1);
  }
  EXPECT_TRUE(engine_->stats().failed);
  EXPECT_EQ(engine_->submit(make_request("late", {1}, 1)).code(), StatusCode::kInternal);
}

TEST_F(EngineTest, LogitsThatAreNotFiniteFailTheirRequestOnly) {
  const EngineConfig config = small_config();
  HashRunner::Options options = runner_options(config);
  options.is_poisoned = [](const StepEntry& entry) {
    return entry.sequence->request->id == "bad" && entry.sequence->choice == 1 && entry.first > 12;
  };
  make(config, options);
  const auto good = make_request("good", count_up(10), 9);
  const auto bad = make_request("bad", count_up(10), 9);
  bad->sampling.n = 2;
  submit(good);
  submit(bad);
  run_dry();
  expect_right(*good, receive(*good)[0]);
  for (const Answer& answer : receive(*bad)) EXPECT_EQ(answer.finish, FinishReason::kError);
  EXPECT_FALSE(engine_->stats().failed);
  EXPECT_EQ(engine_->stats().requests_failed, 1);
}

TEST_F(EngineTest, DrainingFinishesWhatRunsAndRefusesTheRest) {
  make();
  const auto request = make_request("a", count_up(10), 20);
  submit(request);
  step(3);
  engine_->stop(Engine::Stop::kDrain);
  expect_right(*request, receive(*request)[0]);
  EXPECT_EQ(engine_->submit(make_request("b", {1}, 1)).code(), StatusCode::kUnavailable);
}

TEST_F(EngineTest, StoppingNowCancelsWhatRuns) {
  make();
  const auto request = make_request("a", count_up(10), 20);
  const auto queued = make_request("b", count_up(10), 20);
  submit(request);
  step(3);
  submit(queued);
  engine_->stop(Engine::Stop::kNow);
  EXPECT_EQ(receive(*request)[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(receive(*queued)[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(engine_->stats().kv.blocks_held, 0);
  EXPECT_EQ(engine_->stats().requests_cancelled, 2);
}

TEST_F(EngineTest, ABigRequestIsNotStarvedBySmallOnesThatKeepComing) {
  EngineConfig config = small_config();
  config.num_blocks = 16;
  make(config);
  std::vector<std::shared_ptr<Request>> small;
  const auto submit_small = [&] {
    small.push_back(
        make_request(str(small.size()), count_up(100, static_cast<TokenId>(small.size())), 20));
    submit(small.back());
  };
  for (int i = 0; i < 8; ++i) submit_small();
  const auto big = make_request("big", count_up(15 * kBlockTokens), 20);
  submit(big);
  int steps = 0;
  std::vector<Answer> answers;
  for (; steps < 200 && (answers.empty() || answers[0].num_finishes == 0); ++steps) {
    submit_small();
    engine_->step();
    receive(*big, answers);
  }
  // At worst: the small ones before it, 20 tokens each, then its chunks and its own 20 tokens.
  EXPECT_LE(steps, 60);
  expect_right(*big, answers[0]);
}

TEST_F(EngineTest, LongPromptsDoNotStretchTheGapBetweenTwoTokens) {
  EngineConfig config = small_config();
  config.max_model_len = 100000;
  config.num_blocks = 400;
  config.max_num_batched_tokens = 2048;
  config.decode_gap_ms = 50;
  config.min_prefill_tokens = 32;
  HashRunner::Options options = runner_options(config);
  int64_t least_prefill = 1 << 20;
  options.on_launch = [&](const StepPlan& plan) {  // 10 ms and 0.1 ms a token
    now_ += milliseconds(10) + microseconds(100) * plan.num_tokens();
    const int64_t prefill = plan.num_tokens() - 2;
    if (prefill > 0) least_prefill = std::min(least_prefill, prefill);
  };
  make(config, options);
  for (const char* id : {"decoding", "too"}) submit(make_request(id, count_up(10), 500));
  step(10);
  EXPECT_NEAR(engine_->stats().decode_gap_ms_max, 10.2, 0.1);
  least_prefill = 1 << 20;
  submit(make_request("long", count_up(15000), 5));
  for (int i = 0; i < 20; ++i) engine_->step();
  EXPECT_LE(engine_->stats().decode_gap_ms_max, 55);
  EXPECT_GE(engine_->stats().decode_gap_ms_max, 45) << "the time is used";
  EXPECT_GE(least_prefill, 32);
}

TEST_F(EngineTest, TellsHowLongAStepIsOverdue) {
  make();
  now_ += milliseconds(5000);
  EXPECT_EQ(engine_->stats().last_step_age_ms, 0) << "idle is not late";
  submit(make_request("a", count_up(10), 5));
  engine_->step();
  now_ += milliseconds(700);
  EXPECT_EQ(engine_->stats().last_step_age_ms, 700);
  engine_->step();
  EXPECT_EQ(engine_->stats().last_step_age_ms, 0);
  run_dry();
  now_ += milliseconds(700);
  EXPECT_EQ(engine_->stats().last_step_age_ms, 0);
}

}  // namespace
}  // namespace sluice
