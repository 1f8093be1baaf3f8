#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include "tests/engine/harness.h"

namespace sluice {
namespace {

constexpr StepBudget kWide{.max_tokens = 1000, .max_prefill_tokens = 1000, .max_logprob_rows = 100};

// A scheduler and a device that computes at once: each sampled token is 7.
class SchedulerTest : public ::testing::Test {
 protected:
  void make(int num_blocks, int max_num_seqs = 8, bool caching = false, int row_tile = 1) {
    kv_ = std::make_unique<KvCacheManager>(
        KvCacheManager::Options{.num_blocks = num_blocks, .enable_prefix_caching = caching});
    scheduler_ = std::make_unique<Scheduler>(
        Scheduler::Options{
            .max_num_seqs = max_num_seqs, .max_model_len = 10000, .row_tile = row_tile},
        *kv_);
  }

  std::vector<SequencePtr> add(std::shared_ptr<Request> request) {
    std::vector<SequencePtr> choices;
    for (int choice = 0; choice < request->sampling.n; ++choice) {
      choices.push_back(std::make_shared<Sequence>());
      choices.back()->request = request;
      choices.back()->choice = choice;
      choices.back()->tokens = request->prompt;
      choices.back()->order = num_added_;
    }
    ++num_added_;
    scheduler_->add(choices);
    return choices;
  }
  SequencePtr add(int64_t prompt_len, int priority = 0, int64_t max_tokens = 1000) {
    auto request = make_request("r", count_up(prompt_len), max_tokens);
    request->priority = priority;
    return add(request).front();
  }

  const StepPlan& plan(const StepBudget& budget = kWide) {
    scheduler_->schedule(budget, plan_);
    scheduler_->check_invariants();
    return plan_;
  }
  // Plans, launches and applies one step.
  const StepPlan& run(const StepBudget& budget = kWide) {
    plan(budget);
    scheduler_->launched(plan_);
    for (const StepEntry& entry : plan_.entries) scheduler_->apply(entry, 7);
    scheduler_->check_invariants();
    return plan_;
  }
  // The share of `sequence` in the last plan; 0: none.
  int planned(const SequencePtr& sequence) const {
    for (const StepEntry& entry : plan_.entries) {
      if (entry.sequence == sequence) return entry.num_new;
    }
    return 0;
  }

  std::unique_ptr<KvCacheManager> kv_;
  std::unique_ptr<Scheduler> scheduler_;
  StepPlan plan_;
  uint64_t num_added_ = 0;
};

TEST_F(SchedulerTest, ComputesAPromptInChunksAndSamplesFromItsLastToken) {
  make(32);
  const SequencePtr a = add(150);
  const StepBudget budget{.max_tokens = 64, .max_prefill_tokens = 64, .max_logprob_rows = 0};
  EXPECT_FALSE(run(budget).entries.at(0).samples);
  EXPECT_FALSE(run(budget).entries.at(0).samples);
  EXPECT_TRUE(run(budget).entries.at(0).samples);
  EXPECT_EQ(planned(a), 22);
  EXPECT_EQ(a->tokens.size(), 151U);
  run(budget);
  EXPECT_EQ(planned(a), 1);
}

TEST_F(SchedulerTest, DecodesGoBeforeChunksAndLimitThem) {
  make(64);
  const SequencePtr decoding = add(10);
  run();
  const SequencePtr prompt = add(500, /*priority=*/-1);
  const StepBudget budget{.max_tokens = 100, .max_prefill_tokens = 30, .max_logprob_rows = 0};
  run(budget);
  EXPECT_EQ(planned(decoding), 1);
  EXPECT_EQ(planned(prompt), 30);
  scheduler_->remove(decoding);
  run(budget);
  EXPECT_EQ(planned(prompt), 100) << "nobody decodes: only the step's own limit holds";
}

TEST_F(SchedulerTest, ChunksBesideDecodesFillWholeTilesOfRows) {
  make(64, /*max_num_seqs=*/8, /*caching=*/false, /*row_tile=*/64);
  for (int i = 0; i < 3; ++i) add(10);
  run();
  const SequencePtr prompt = add(1000);
  StepBudget budget{.max_tokens = 500, .max_prefill_tokens = 100, .max_logprob_rows = 0};
  run(budget);
  EXPECT_EQ(planned(prompt), 64 - 3);
  budget.max_prefill_tokens = 130;
  run(budget);
  EXPECT_EQ(planned(prompt), 128 - 3);
  budget.min_prefill_tokens = 129;
  run(budget);
  EXPECT_EQ(planned(prompt), 130) << "the least that was promised goes before";
}

TEST_F(SchedulerTest, AShortBacklogIsSpreadOverTheFreeRowsOfTiles) {
  make(64, /*max_num_seqs=*/8, /*caching=*/false, /*row_tile=*/64);
  for (int i = 0; i < 3; ++i) add(10);
  run();
  const SequencePtr running = add(200), waiting = add(60);
  std::vector<int> chunks;
  while (running->num_output() < 1 || waiting->num_output() < 1) {
    run();
    chunks.push_back(static_cast<int>(plan_.num_tokens()) - 3);
    ASSERT_LT(chunks.size(), 10U);
  }
  // Half of 260 and whole tiles; half of 135 is in the next tile; the rest with who decodes by
  // then.
  EXPECT_EQ(chunks, (std::vector<int>{125, 61, 61, 14}));
}

TEST_F(SchedulerTest, RanksByPriorityAndThenByArrival) {
  make(64, /*max_num_seqs=*/1);
  const SequencePtr late = add(10, 1);
  const SequencePtr early = add(10, 1);
  const SequencePtr urgent = add(10, 0);
  for (const SequencePtr& next : {urgent, late, early}) {
    run();
    EXPECT_EQ(planned(next), 10);
    scheduler_->remove(next);
  }
}

TEST_F(SchedulerTest, PreemptsFromTheBackAndKeepsTheKnownTokens) {
  make(4);
  const SequencePtr first = add(127);
  const SequencePtr last = add(64);
  run();  // two blocks and one
  run();  // `last` takes the fourth
  EXPECT_EQ(kv_->num_free_blocks(), 0);
  run();
  EXPECT_EQ(planned(first), 1);  // its third block
  EXPECT_EQ(planned(last), 0);
  EXPECT_EQ(last->state, SequenceState::kWaiting);
  EXPECT_EQ(last->num_computed, 0);
  EXPECT_EQ(last->tokens.size(), 66U);
  EXPECT_EQ(scheduler_->stats().preemptions, 1);

  scheduler_->remove(first);
  run();
  EXPECT_EQ(planned(last), 66) << "recomputed with its two output tokens";
  EXPECT_EQ(last->tokens.size(), 67U);
}

TEST_F(SchedulerTest, NobodyOvertakesARequestThatWaitsForBlocks) {
  make(8);
  const SequencePtr running = add(64 * 3);
  run();
  const SequencePtr big = add(64 * 6);
  const SequencePtr small = add(10);
  run();
  EXPECT_EQ(planned(big) + planned(small), 0);
  EXPECT_EQ(scheduler_->num_waiting(), 2);
  EXPECT_EQ(scheduler_->num_unstarted_requests(), 2);
  scheduler_->remove(running);
  run();
  EXPECT_EQ(planned(big), 64 * 6);
  EXPECT_EQ(planned(small), 10);
  EXPECT_EQ(scheduler_->num_unstarted_requests(), 0);
}

TEST_F(SchedulerTest, ChoicesShareTheFullBlocksOfTheirPromptWithoutPrefixCaching) {
  make(32);
  auto request = make_request("r", count_up(150), 100);
  request->sampling.n = 3;
  const auto choices = add(request);
  EXPECT_EQ(scheduler_->num_waiting(), 3);
  run({.max_tokens = 100, .max_prefill_tokens = 100, .max_logprob_rows = 0});
  EXPECT_EQ(scheduler_->num_running(), 1) << "the prompt is not computed yet";
  run({.max_tokens = 100, .max_prefill_tokens = 100, .max_logprob_rows = 0});
  run();
  for (const SequencePtr& choice : choices) {
    EXPECT_EQ(choice->table.blocks[0], choices[0]->table.blocks[0]);
    EXPECT_EQ(choice->table.blocks[1], choices[0]->table.blocks[1]);
  }
  EXPECT_EQ(planned(choices[1]), 150 - 128);
  EXPECT_EQ(kv_->stats().blocks_held, 2 + 3);
}

TEST_F(SchedulerTest, AFollowerInheritsThePromptOfALeaderThatEnds) {
  make(32);
  auto request = make_request("r", count_up(150), 1);
  request->sampling.n = 3;
  const auto choices = add(request);
  run();
  scheduler_->remove(choices[0]);
  scheduler_->check_invariants();
  EXPECT_EQ(choices[1]->num_computed, 128);
  run();
  EXPECT_EQ(planned(choices[1]), 22);
  EXPECT_EQ(planned(choices[2]), 22);
  scheduler_->remove(choices[2]);
  scheduler_->remove(choices[1]);
  EXPECT_EQ(kv_->stats().blocks_held, 0);
}

TEST_F(SchedulerTest, AFollowerOfALeaderThatNeverRanTakesItsPlace) {
  make(32);
  auto request = make_request("r", count_up(150), 1);
  request->sampling.n = 3;
  const auto choices = add(request);
  scheduler_->remove(choices[1]);
  scheduler_->remove(choices[0]);
  scheduler_->check_invariants();
  EXPECT_EQ(scheduler_->num_unstarted_requests(), 1);
  run();
  EXPECT_EQ(planned(choices[2]), 150);
  EXPECT_FALSE(scheduler_->num_unstarted_requests());
}

TEST_F(SchedulerTest, TheNextStepMayNameATokenThatIsInFlight) {
  make(32);
  const SequencePtr a = add(10, 0, /*max_tokens=*/2);
  plan();
  scheduler_->launched(plan_);
  StepPlan next;
  scheduler_->schedule(kWide, next);
  ASSERT_EQ(next.entries.size(), 1U);
  EXPECT_TRUE(next.entries[0].last_is_pending);
  EXPECT_EQ(next.entries[0].first, 10);
  scheduler_->launched(next);
  EXPECT_EQ(a->num_pending, 2);
  scheduler_->apply(plan_.entries[0], 7);

  EXPECT_TRUE(plan().entries.empty()) << "the token that ends it is in flight";
  scheduler_->apply(next.entries[0], 8);
  EXPECT_EQ(a->tokens.size(), 12U);
  EXPECT_EQ(a->num_pending, 0);
}

TEST_F(SchedulerTest, BlocksMayChangeHandsWhileAStepThatNamesThemIsInFlight) {
  make(2);
  const SequencePtr a = add(100);
  plan();
  scheduler_->launched(plan_);
  const StepPlan in_flight = plan_;
  scheduler_->remove(a);
  const SequencePtr b = add(100);
  run();
  EXPECT_EQ(planned(b), 100);
  EXPECT_THROW(scheduler_->apply(in_flight.entries[0], 7), InternalError);
}

TEST_F(SchedulerTest, ScoresThePromptWithinTheRowsOfAStep) {
  make(32);
  auto request = make_request("r", count_up(150), 5);
  request->sampling.prompt_logprobs = true;
  const SequencePtr a = add(request).front();
  for (const auto& [first, last] : {std::pair{0, 100}, {100, 149}}) {
    const StepEntry entry = run().entries.at(0);
    EXPECT_EQ(entry.score_first, first);
    EXPECT_EQ(entry.score_last, last);
    a->prompt_logprobs.resize(static_cast<size_t>(last));
  }
  EXPECT_EQ(a->tokens.size(), 151U);
}

TEST_F(SchedulerTest, DoesNotScoreAgainAfterAPreemption) {
  make(4);
  const SequencePtr first = add(120);
  auto request = make_request("r", count_up(128), 5);
  request->sampling.prompt_logprobs = true;
  const SequencePtr scored = add(request).front();
  run();
  ASSERT_EQ(plan_.entries.at(1).score_last, 100);
  scored->prompt_logprobs.resize(100);
  for (int i = 0; i < 10 && scored->state == SequenceState::kRunning; ++i) {
    run({.max_tokens = 1000, .max_prefill_tokens = 1, .max_logprob_rows = 0});
  }
  ASSERT_EQ(scored->state, SequenceState::kWaiting);
  scheduler_->remove(first);
  const StepEntry entry = run().entries.at(0);
  EXPECT_EQ(entry.first, 0);
  EXPECT_EQ(entry.score_first, 100);
  EXPECT_EQ(entry.score_last, 127);
}

TEST_F(SchedulerTest, ASequenceThatFitsNowhereIsABug) {
  make(2);
  add(128);
  run();
  EXPECT_THROW(run(), InternalError);
}

}  // namespace
}  // namespace sluice
