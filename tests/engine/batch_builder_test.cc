// Plans laid out as CSR.
#include "engine/runner/batch_builder.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/check.h"

namespace sluice {
namespace {

// A sequence of `length` tokens 100, 101, ... with blocks first_block, first_block + 1, ...
std::shared_ptr<Sequence> make_sequence(int length, BlockId first_block) {
  auto request = std::make_shared<Request>();
  auto sequence = std::make_shared<Sequence>();
  sequence->tokens.resize(static_cast<size_t>(length));
  std::iota(sequence->tokens.begin(), sequence->tokens.end(), 100);
  request->prompt = sequence->tokens;
  sequence->request = request;
  sequence->table.blocks.resize(static_cast<size_t>(ceil_div(length, kBlockTokens)));
  std::iota(sequence->table.blocks.begin(), sequence->table.blocks.end(), first_block);
  return sequence;
}

TEST(BatchBuilder, LaysOutChunksDecodesAndScoredRows) {
  StepPlan plan;
  // A middle chunk that is scored, a decode in its second block, a whole prompt that samples.
  plan.entries.push_back({.sequence = make_sequence(10, 0),
                          .first = 2,
                          .num_new = 4,
                          .score_first = 2,
                          .score_last = 4});
  plan.entries.push_back(
      {.sequence = make_sequence(70, 1), .first = 69, .num_new = 1, .samples = true});
  plan.entries.push_back(
      {.sequence = make_sequence(3, 3), .first = 0, .num_new = 3, .samples = true});
  RaggedBatch batch;
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second time into used memory
    build_batch(plan, {}, batch);
    batch.validate(/*num_blocks=*/4, /*vocab_size=*/200);
    EXPECT_EQ(batch.token_ids, (std::vector<TokenId>{102, 103, 104, 105, 169, 100, 101, 102}));
    EXPECT_EQ(batch.positions, (std::vector<int32_t>{2, 3, 4, 5, 69, 0, 1, 2}));
    EXPECT_EQ(batch.q_indptr, (std::vector<int32_t>{0, 4, 5, 8}));
    EXPECT_EQ(batch.kv_lens, (std::vector<int32_t>{6, 70, 3}));
    EXPECT_EQ(batch.block_indptr, (std::vector<int32_t>{0, 1, 3, 4}));
    EXPECT_EQ(batch.blocks, (std::vector<BlockId>{0, 1, 2, 3}));
    EXPECT_EQ(batch.logit_rows, (std::vector<int32_t>{0, 1, 4, 7}));
  }
}

TEST(BatchBuilder, NamesOnlyTheBlocksThatTheStepReads) {
  StepPlan plan;
  plan.entries.push_back({.sequence = make_sequence(300, 7), .first = 0, .num_new = 64});
  RaggedBatch batch;
  build_batch(plan, {}, batch);
  EXPECT_EQ(batch.blocks, (std::vector<BlockId>{7}));
  EXPECT_TRUE(batch.logit_rows.empty());
}

TEST(BatchBuilder, NamesAPendingTokenByItsRowInTheStepBefore) {
  StepPlan plan;
  // A decode of a token that is not known yet; a chunk of two, of which the second is not.
  plan.entries.push_back({.sequence = make_sequence(10, 0),
                          .first = 10,
                          .num_new = 1,
                          .samples = true,
                          .last_is_pending = true});
  plan.entries.push_back({.sequence = make_sequence(5, 1),
                          .first = 4,
                          .num_new = 2,
                          .samples = true,
                          .last_is_pending = true});
  const SampledRows sampled = {{plan.entries[0].sequence.get(), 3},
                               {plan.entries[1].sequence.get(), 0}};
  RaggedBatch batch;
  build_batch(plan, sampled, batch);
  batch.validate(/*num_blocks=*/2, /*vocab_size=*/200, /*num_sampled=*/4);
  EXPECT_EQ(batch.token_ids, (std::vector<TokenId>{pending_token(3), 104, pending_token(0)}));
  EXPECT_EQ(batch.kv_lens, (std::vector<int32_t>{11, 6}));
  EXPECT_THROW(batch.validate(2, 200, /*num_sampled=*/3), InternalError);
  EXPECT_THROW(build_batch(plan, {}, batch), InternalError);  // the step before sampled nothing
}

TEST(BatchBuilder, ChecksThatAnEntryIsBackedByTokensAndBlocks) {
  RaggedBatch batch;
  StepPlan plan;
  plan.entries.push_back({.sequence = make_sequence(10, 0), .first = 8, .num_new = 3});
  EXPECT_THROW(build_batch(plan, {}, batch), InternalError);
  plan.entries[0].num_new = 0;
  EXPECT_THROW(build_batch(plan, {}, batch), InternalError);
  plan.entries[0].num_new = 1;
  build_batch(plan, {}, batch);
  plan.entries[0].sequence->table.blocks.clear();
  EXPECT_THROW(build_batch(plan, {}, batch), InternalError);
}

}  // namespace
}  // namespace sluice
