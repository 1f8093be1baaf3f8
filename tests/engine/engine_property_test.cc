// Random workloads on HashRunner: whatever else runs, every request gets the tokens it would get
// alone, and no block is left behind.
#include <gtest/gtest.h>

#include <random>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/engine/harness.h"
#include "tests/fakes/fake_grammar.h"

namespace sluice {
namespace {

constexpr int kNumRequests = 40;
constexpr int kMaxTurns = 100000;

// A workload and its engine, all from one seed.
class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {
    config_.vocab_size = kTestVocab;
    config_.max_model_len = 512;
    config_.num_blocks = pick({8, 9, 16, 64});
    config_.window = pick({0, 0, 0, 0, 1, 64, 100});
    config_.max_num_seqs = pick({1, 3, 8, 32});
    config_.max_num_batched_tokens = pick({5, 7, 64, 200, 1000});
    config_.max_logprob_rows = pick({1, 30, 256});
    config_.min_prefill_tokens = pick({1, 16, 64});
    config_.decode_gap_ms = pick({1, 1000000});
    config_.row_tile = pick({1, 16, 64});
    config_.enable_prefix_caching = chance(60);
    config_.mask_threads = pick({0, 1, 3});
    percent_constrained_ = pick({0, 30, 100});
    HashRunner::Options options = runner_options(config_);
    options.max_in_flight = pick({1, 2});
    if (chance(30)) {
      options.on_launch = [this](const StepPlan&) {
        if (chance(1)) throw InternalError("a planted failure");
      };
      options.on_sample = options.on_launch;
    }
    for (int i = 0; i < 3; ++i) parts_.push_back(random_tokens(kBlockTokens));
    engine_ = std::make_unique<Engine>(config_, std::make_unique<HashRunner>(options));
    describe_ = str("seed ", seed, ": blocks ", config_.num_blocks, ", seqs ", config_.max_num_seqs,
                    ", step tokens ", config_.max_num_batched_tokens, ", caching ",
                    config_.enable_prefix_caching, ", in flight ", options.max_in_flight,
                    ", constrained ", percent_constrained_, " %, mask threads ",
                    config_.mask_threads, ", window ", config_.window);
  }

  const std::string& describe() const { return describe_; }

  void run() {
    for (int turn = 0; turn < kMaxTurns; ++turn) {
      if (requests_.size() < kNumRequests && chance(20)) submit_one();
      if (!requests_.empty() && chance(3)) cancel_one();
      if (chance(1)) engine_->reset_prefix_cache();
      const bool busy = engine_->step();
      ASSERT_NO_THROW(engine_->check_invariants());
      for (size_t i = 0; i < requests_.size(); ++i) receive(*requests_[i], answers_[i]);
      if (!busy && requests_.size() == kNumRequests) return;
    }
    FAIL() << "still running after " << kMaxTurns << " turns";
  }

  void check_answers() const {
    for (size_t i = 0; i < requests_.size(); ++i) {
      for (int choice = 0; choice < requests_[i]->sampling.n; ++choice) {
        SCOPED_TRACE(str(requests_[i]->id, " choice ", choice));
        check_answer(*requests_[i], choice, answers_[i].at(static_cast<size_t>(choice)));
      }
    }
    const EngineStats stats = engine_->stats();
    EXPECT_EQ(stats.kv.blocks_held, 0);
    EXPECT_EQ(stats.num_running + stats.num_waiting, 0);
    EXPECT_EQ(stats.requests_finished + stats.requests_cancelled + stats.requests_failed,
              kNumRequests);
    EXPECT_FALSE(stats.failed);
  }

  int64_t preemptions() const { return engine_->stats().preemptions; }
  int64_t prefix_hits() const { return engine_->stats().kv.prefix_hit_tokens; }
  // Answers that ended because their grammar did.
  int64_t num_whole() const { return num_whole_; }
  int64_t failures() const { return engine_->stats().requests_failed; }

 private:
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(int percent) { return between(1, 100) <= percent; }
  int pick(std::vector<int> values) {
    return values[static_cast<size_t>(between(0, static_cast<int>(values.size()) - 1))];
  }
  std::vector<TokenId> random_tokens(int count) {
    std::vector<TokenId> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back(between(0, kTestVocab - 1));
    return tokens;
  }

  // Blocks of few kinds in any order, cut anywhere, and an end of its own: prefixes are shared, and
  // equal blocks stand after different ones.
  std::vector<TokenId> random_prompt() {
    std::vector<TokenId> prompt;
    for (int i = between(0, 4); i > 0; --i) {
      const std::vector<TokenId>& part = parts_[static_cast<size_t>(between(0, 2))];
      prompt.insert(prompt.end(), part.begin(), part.end());
    }
    if (prompt.empty() || chance(80)) {
      const std::vector<TokenId> rest = random_tokens(between(1, 90));
      prompt.insert(prompt.end(), rest.begin(), rest.end());
    }
    if (chance(20)) prompt.resize(static_cast<size_t>(between(1, static_cast<int>(prompt.size()))));
    return prompt;
  }

  void submit_one() {
    auto request = make_request(str("request ", requests_.size()), random_prompt(), between(1, 60));
    SamplingParams& params = request->sampling;
    params.n = chance(30) ? between(2, 5) : 1;
    params.temperature = chance(50) ? 1.0F : 0.0F;
    params.seed = static_cast<uint64_t>(between(0, 1000));
    params.logprobs = chance(30);
    if (chance(50)) request->eos_ids = random_tokens(20);
    if (chance(30)) params.stop_token_ids = random_tokens(20);
    params.ignore_eos = chance(20);
    if (chance(30)) params.min_tokens = between(0, static_cast<int>(params.max_tokens));
    params.prompt_logprobs = chance(25);
    if (params.prompt_logprobs && chance(30)) params.max_tokens = params.min_tokens = 0;
    if (chance(percent_constrained_)) {
      request->grammar = std::make_shared<FakeGrammar>(
          FakeGrammarShape{.vocab_size = kTestVocab,
                           .one_of = static_cast<uint64_t>(pick({5, 50})),
                           .min_length = between(0, 5),
                           .max_length = between(5, 60)});
    }
    request->priority = between(-1, 1);
    request->cache_salt = chance(20) ? 1 : 0;
    const Status submitted = engine_->submit(request);
    ASSERT_TRUE(submitted.ok()) << submitted.message();
    requests_.push_back(request);
    answers_.emplace_back();
  }

  void cancel_one() {
    const Request& request =
        *requests_[static_cast<size_t>(between(0, static_cast<int>(requests_.size()) - 1))];
    engine_->cancel(request.id, chance(50) ? kAllChoices : between(0, request.sampling.n));
  }

  void check_answer(const Request& request, int choice, const Answer& answer) const {
    Answer expected = expected_answer(request, choice, config_.max_model_len, config_.window);
    ASSERT_EQ(answer.num_finishes, 1);
    EXPECT_LE(answer.num_events, request.sampling.max_tokens + 1);
    if (answer.finish == FinishReason::kCancelled || answer.finish == FinishReason::kError) {
      ASSERT_LE(answer.tokens.size(), expected.tokens.size());
      expected.tokens.resize(answer.tokens.size());
      expected.logprobs.resize(answer.logprobs.size());
      if (answer.tokens.empty()) expected.prompt_logprobs.resize(answer.prompt_logprobs.size());
    } else {
      EXPECT_EQ(answer.finish, expected.finish);
      EXPECT_EQ(answer.stop_id, expected.stop_id);
    }
    EXPECT_EQ(answer.tokens, expected.tokens);
    EXPECT_EQ(answer.logprobs, expected.logprobs);
    EXPECT_EQ(answer.prompt_logprobs, expected.prompt_logprobs);
    if (request.grammar && answer.finish == FinishReason::kStop && !answer.stop_id) ++num_whole_;
  }

  std::mt19937_64 random_;
  EngineConfig config_;
  std::vector<std::vector<TokenId>> parts_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::shared_ptr<Request>> requests_;
  std::vector<std::vector<Answer>> answers_;
  std::string describe_;
  int percent_constrained_ = 0;
  mutable int64_t num_whole_ = 0;
};

TEST(EngineProperty, EveryRequestGetsTheTokensItWouldGetAlone) {
  ASSERT_TRUE(set_log_level("off").ok());  // some steps are meant to fail
  int64_t preemptions = 0;
  int64_t prefix_hits = 0;
  int64_t failures = 0;
  int64_t whole = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Workload workload(seed);
    SCOPED_TRACE(workload.describe());
    workload.run();
    workload.check_answers();
    preemptions += workload.preemptions();
    prefix_hits += workload.prefix_hits();
    failures += workload.failures();
    whole += workload.num_whole();
    if (HasFailure()) return;
  }
  ASSERT_TRUE(set_log_level("info").ok());
  // The workloads reach what they are meant to reach.
  EXPECT_GT(preemptions, 100);
  EXPECT_GT(prefix_hits, 1000);
  EXPECT_GT(failures, 10);
  EXPECT_GT(whole, 100);
}

}  // namespace
}  // namespace sluice
