// sample under masks: a mask is the list of its ids, whatever else a row asks for.
#include "tests/kernels/sample_fixture.h"

namespace sluice {
namespace {

class SampleMask : public SampleTest {};
SLUICE_ON_EVERY_BACKEND(SampleMask);

std::vector<uint32_t> mask_of(const std::vector<TokenId>& ids, int vocab) {
  std::vector<uint32_t> mask(mask_words(vocab));
  for (const TokenId id : ids) mask[static_cast<size_t>(id) / 32] |= uint32_t{1} << id % 32;
  return mask;
}

// A row with some of everything that edits logits or cuts them.
SampleRow random_row(int vocab, std::mt19937& rng) {
  const auto uniform = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
  SampleRow row{.logits = random_logits(vocab, static_cast<uint32_t>(rng()))};
  row.temperature = uniform(3) == 0 ? 0.0F : 1.0F + static_cast<float>(uniform(3));
  row.top_p = uniform(2) == 0 ? 1.0F : 0.9F;
  row.top_k = uniform(3) == 0 ? 1 + uniform(vocab) : 0;
  row.min_p = uniform(3) == 0 ? 0.01F : 0.0F;
  row.seed = rng();
  row.num_top = uniform(4);
  if (uniform(2) == 0) row.bias = {{uniform(vocab), 4}, {uniform(vocab), -4}};
  if (uniform(2) == 0) row.banned = {uniform(vocab)};
  if (uniform(2) == 0) {
    row.presence = 0.5F;
    row.repetition = 1.25F;
    row.history = {{uniform(vocab), uniform(3)}};
  }
  return row;
}

TEST_P(SampleMask, IsTheListOfItsIds) {
  std::mt19937 rng(31);
  for (const int vocab : {1, 31, 32, 33, 64, 500, 8191}) {
    std::vector<SampleRow> listed, masked;
    for (int r = 0; r < 24; ++r) {
      SampleRow row = random_row(vocab, rng);
      std::vector<TokenId> ids;
      const uint32_t keep = 1 + rng() % 32;  // of 32; 32: all
      for (TokenId id = 0; id < vocab; ++id) {
        if (rng() % 32 < keep) ids.push_back(id);
      }
      if (ids.empty()) ids = {vocab - 1};
      masked.push_back(row);
      // Every fourth row has none.
      if (r % 4 == 0) {
        listed.push_back(row);
        continue;
      }
      masked.back().mask = mask_of(ids, vocab);
      row.allowed = ids;
      listed.push_back(row);
    }
    const SampleResults want = sample(listed), got = sample(masked);
    EXPECT_EQ(got.ids, want.ids) << vocab;
    EXPECT_EQ(got.logprobs, want.logprobs) << vocab;
    EXPECT_EQ(got.ranks, want.ranks) << vocab;
  }
}

TEST_P(SampleMask, NarrowsAllowedAndIsNarrowedByBanned) {
  const std::vector<float> logits = {5, 4, 3, 2, 1};
  const auto only = [](const std::vector<TokenId>& ids) { return mask_of(ids, 5); };
  EXPECT_EQ(sample_one({.logits = logits, .allowed = {0, 2, 4}, .mask = only({1, 2, 3})}), 2);
  EXPECT_EQ(sample_one({.logits = logits, .banned = {1}, .mask = only({1, 3})}), 3);
  // A bias lifts nothing out of the mask.
  EXPECT_EQ(sample_one({.logits = logits, .bias = {{0, 90}}, .mask = only({4})}), 4);
  EXPECT_EQ(sample_one({.logits = logits, .mask = only({})}), -1);
  EXPECT_EQ(sample_one({.logits = logits, .temperature = 1, .mask = only({})}), -1);
  EXPECT_EQ(sample_one({.logits = logits, .allowed = {0}, .mask = only({1})}), -1);
}

TEST_P(SampleMask, LogprobsStayTheModels) {
  const auto free = sample({{.logits = {1, 3, 2}, .num_top = 2}});
  const auto masked = sample({{.logits = {1, 3, 2}, .num_top = 2, .mask = mask_of({0}, 3)}});
  EXPECT_EQ(masked.ids[0], 0);
  EXPECT_EQ(masked.ranks[0], 3);
  EXPECT_EQ(masked.top_ids[0], 1);
  EXPECT_EQ(masked.top_logprobs[0], free.top_logprobs[0]);
}

}  // namespace
}  // namespace sluice
