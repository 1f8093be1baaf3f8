// sample: the order of its steps, their edges, and the distribution of what it draws.
#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/kernels/sample_fixture.h"

namespace sluice {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Row = SampleRow;

class Sample : public SampleTest {};
SLUICE_ON_EVERY_BACKEND(Sample);

TEST_P(Sample, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  for (const int vocab : {1, 2, 15, 16, 17, 100, 8192}) {
    std::vector<float> logits(static_cast<size_t>(vocab), -2.5F);
    EXPECT_EQ(sample_one({.logits = logits}), 0);
    for (const int at : {vocab / 3, vocab - 1}) {
      logits.assign(logits.size(), -2.5F);
      logits[at] = logits[vocab - 1] = -1;
      EXPECT_EQ(sample_one({.logits = logits}), at) << vocab;
    }
  }
}

TEST_P(Sample, UnsoundLogitsGiveNoToken) {
  for (const float bad : {kNan, kInf}) {
    for (const int at : {0, 5, 36}) {
      for (const float temperature : {0.0F, 1.0F}) {
        Row row{.logits = random_logits(37, 1), .temperature = temperature};
        row.logits[at] = bad;
        Row good{.logits = random_logits(37, 2)};
        const auto out = sample({row, good});
        EXPECT_EQ(out.ids[0], -1);
        EXPECT_GE(out.ids[1], 0);
      }
    }
  }
  EXPECT_EQ(sample_one({.logits = std::vector<float>(20, -kInf)}), -1);
  EXPECT_EQ(sample_one({.logits = {1, 2}, .banned = {0, 1}}), -1);
  EXPECT_EQ(sample_one({.logits = {-kInf, 2, -kInf}, .temperature = 1}), 1);
}

TEST_P(Sample, AllowedAndBannedIds) {
  const std::vector<float> logits = {5, 4, 3, 2, 1};
  EXPECT_EQ(sample_one({.logits = logits, .allowed = {4, 2}}), 2);
  EXPECT_EQ(sample_one({.logits = logits, .banned = {0, 1}}), 2);
  EXPECT_EQ(sample_one({.logits = logits, .allowed = {4, 2}, .banned = {2}}), 4);
}

TEST_P(Sample, BiasThenPenalties) {
  const std::vector<float> logits = {2, 1.5, -1, -1.1F};
  EXPECT_EQ(sample_one({.logits = logits, .bias = {{3, 10}}}), 3);
  // Repetition divides positive logits and multiplies negative ones, of prompt and output.
  EXPECT_EQ(sample_one({.logits = logits, .repetition = 1.5F, .history = {{0, 0}}}), 1);
  EXPECT_EQ(sample_one({.logits = {-1, -1.1F}, .repetition = 1.5F, .history = {{0, 1}}}), 1);
  // Presence and frequency count the output only.
  EXPECT_EQ(sample_one({.logits = logits, .presence = 1, .history = {{0, 0}}}), 0);
  EXPECT_EQ(sample_one({.logits = logits, .presence = 1, .history = {{0, 1}}}), 1);
  EXPECT_EQ(sample_one({.logits = logits, .frequency = 0.2F, .history = {{0, 2}}}), 0);
  EXPECT_EQ(sample_one({.logits = logits, .frequency = 0.2F, .history = {{0, 3}}}), 1);
  // The bias comes first: 1 + 1.5 is penalised as one positive logit, 2.5 / 2.
  EXPECT_EQ(
      sample_one({.logits = {1.3F, 1}, .repetition = 2, .history = {{1, 1}}, .bias = {{1, 1.5F}}}),
      0);
}

// A pending token counts as one more occurrence of what `history` says, or as the first.
TEST_P(Sample, PenaltiesCountThePendingToken) {
  const std::vector<float> logits = {2, 1.5, -1, -1.1F};
  const std::vector<TokenId> before = {3, 0, -1};
  const auto one = [&](Row row) { return sample({row}, before).ids[0]; };
  EXPECT_EQ(one({.logits = logits, .presence = 1, .pending = 1}), 1);
  EXPECT_EQ(one({.logits = logits, .presence = 1, .history = {{2, 1}}, .pending = 1}), 1);
  EXPECT_EQ(one({.logits = logits, .presence = 1, .pending = 0}), 0);
  EXPECT_EQ(one({.logits = logits, .repetition = 1.5F, .pending = 1}), 1);
  EXPECT_EQ(one({.logits = {-1, -1.1F}, .repetition = 1.5F, .pending = 1}), 1);
  // 2 - 0.2 n falls under 1.5 at n = 3.
  EXPECT_EQ(one({.logits = logits, .frequency = 0.2F, .history = {{1, 0}, {0, 1}}, .pending = 1}),
            0);
  EXPECT_EQ(one({.logits = logits, .frequency = 0.2F, .history = {{1, 0}, {0, 2}}, .pending = 1}),
            1);
  // In the prompt only, it is penalised for the repetition once: 2 / 1.2 stays above 1.5.
  EXPECT_EQ(one({.logits = logits, .repetition = 1.2F, .history = {{0, 0}}, .pending = 1}), 0);
  // No penalty, no effect; a token that was never sampled has none either.
  EXPECT_EQ(one({.logits = logits, .pending = 1}), 0);
  EXPECT_EQ(one({.logits = logits, .presence = 1, .pending = 2}), 0);
}

// The history with the token in it, and the history without it and the token pending, agree to the
// bit for random rows.
TEST_P(Sample, APendingTokenEqualsAKnownOne) {
  std::mt19937 rng(29);
  const auto uniform = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
  constexpr int kVocab = 700, kRows = 60;
  std::vector<TokenId> before;
  std::vector<Row> known, pending;
  for (int r = 0; r < kRows; ++r) {
    Row row{.logits = random_logits(kVocab, 100 + r), .temperature = r % 3 == 0 ? 0.0F : 1.5F};
    row.repetition = 1 + 0.1F * static_cast<float>(uniform(9));
    row.presence = 0.25F * static_cast<float>(uniform(8));
    row.frequency = 0.25F * static_cast<float>(uniform(8));
    row.draw = r;
    for (int id = uniform(5); id < kVocab; id += 1 + uniform(2 * r + 1))
      row.history.emplace_back(id, uniform(3));
    const TokenId token = uniform(kVocab);
    before.push_back(token);
    pending.push_back(row);
    pending.back().pending = r;
    const auto found = std::find_if(row.history.begin(), row.history.end(),
                                    [&](const auto& entry) { return entry.first == token; });
    if (found != row.history.end()) {
      ++found->second;
    } else {
      row.history.emplace_back(token, 1);
    }
    known.push_back(row);
  }
  const SampleResults want = sample(known), got = sample(pending, before);
  EXPECT_EQ(got.ids, want.ids);
  EXPECT_EQ(got.logprobs, want.logprobs);
}

TEST_P(Sample, ReportsRawLogprobsRanksAndTopLists) {
  const auto logits = random_logits(1000, 5);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
  const auto out = sample({{.logits = logits, .num_top = 20, .banned = {order[0]}},
                           {.logits = logits, .temperature = 9, .target = order[41], .num_top = 1},
                           {.logits = logits, .target = order[2]}});
  EXPECT_EQ(out.ids[0], order[1]);
  EXPECT_EQ(out.ids[1], order[41]);
  EXPECT_EQ(out.ids[2], order[2]);
  EXPECT_EQ(out.ranks, (std::vector<int32_t>{2, 42, 0}));
  std::vector<double> got(out.logprobs.begin(), out.logprobs.end()), want;
  for (const int i : {1, 41, 2}) want.push_back(logits[order[i]] - std::log(sum));
  got.insert(got.end(), out.top_logprobs.begin(), out.top_logprobs.begin() + 21);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(out.top_ids[i], order[i]);
    want.push_back(logits[order[i]] - std::log(sum));
  }
  EXPECT_EQ(out.top_ids[kMaxTopLogprobs], order[0]);
  want.push_back(logits[order[0]] - std::log(sum));
  expect_close(got, want, logprob_tolerance());
}

TEST_P(Sample, TopListsOrderEqualLogitsById) {
  const auto out = sample({{.logits = {1, 3, 2, 3, 2, 3}, .num_top = 5}});
  EXPECT_EQ(std::vector<TokenId>(out.top_ids.begin(), out.top_ids.begin() + 5),
            (std::vector<TokenId>{1, 3, 5, 2, 4}));
  EXPECT_EQ(out.ranks[0], 1);
}

TEST_P(Sample, TinyTemperaturesAreGreedy) {
  for (const float temperature : {1e-3F, 1e-30F, 1e-45F})
    EXPECT_EQ(sample_one({.logits = {1, 2, 5, 3}, .temperature = temperature, .top_p = 0.5F}), 2);
}

// Which ids the filters leave, step by step in double.
std::vector<int> survivors(const Row& row) {
  std::vector<int> ids(row.logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::vector<double> p(row.logits.size());
  const float top = *std::max_element(row.logits.begin(), row.logits.end());
  for (size_t i = 0; i < p.size(); ++i)
    p[i] = std::exp(static_cast<double>(row.logits[i] - top) / row.temperature);
  std::erase_if(ids, [&](int i) { return p[i] < row.min_p; });
  std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) { return p[a] > p[b]; });
  if (row.top_k > 0 && static_cast<size_t>(row.top_k) < ids.size()) ids.resize(row.top_k);
  double total = 0, sum = 0;
  for (const int id : ids) total += p[id];
  size_t kept = 0;
  while (kept < ids.size() && sum < row.top_p * total) sum += p[ids[kept++]];
  ids.resize(kept);
  return ids;
}

// Thousands of draws of one distribution hit exactly the survivors, each as often as it should:
// Pearson's chi-square below its 99.99 % quantile (Wilson and Hilferty's approximation).
void expect_distribution(const Row& row, const std::vector<TokenId>& drawn) {
  const std::vector<int> ids = survivors(row);
  double total = 0;
  for (const int id : ids) total += std::exp(static_cast<double>(row.logits[id]) / row.temperature);
  double chi_square = 0, rest_expected = 0, rest_seen = static_cast<double>(drawn.size());
  int cells = 0;
  for (const int id : ids) {
    const auto seen = static_cast<double>(std::count(drawn.begin(), drawn.end(), id));
    const double expected = static_cast<double>(drawn.size()) *
                            std::exp(static_cast<double>(row.logits[id]) / row.temperature) / total;
    if (expected < 5) {
      rest_expected += expected;
      continue;
    }
    rest_seen -= seen;
    chi_square += (seen - expected) * (seen - expected) / expected;
    ++cells;
  }
  if (rest_expected >= 5) {
    chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++cells;
  }
  const double freedom = std::max(1, cells - 1);
  const double h = 2 / (9 * freedom);
  EXPECT_LT(chi_square, freedom * std::pow(1 - h + 3.72 * std::sqrt(h), 3)) << cells << " cells";
  for (const TokenId id : drawn)
    ASSERT_TRUE(std::find(ids.begin(), ids.end(), id) != ids.end()) << "drew " << id;
}

TEST_P(Sample, DrawsFollowTheFilteredDistribution) {
  const auto logits = random_logits(50, 9);
  const std::vector<Row> cases = {
      {.logits = logits, .temperature = 1},
      {.logits = logits, .temperature = 2.5F},
      {.logits = logits, .temperature = 1, .top_p = 0.7F},
      {.logits = logits, .temperature = 1.5F, .min_p = 0.05F},
      {.logits = logits, .temperature = 2, .top_k = 7},
      {.logits = logits, .temperature = 3, .top_p = 0.9F, .min_p = 0.02F, .top_k = 20},
  };
  constexpr int kDraws = 4000;
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    std::vector<Row> rows;
    for (int d = 0; d < kDraws; ++d) {
      rows.push_back(cases[i]);
      rows.back().seed = 42;
      rows.back().draw = d;
    }
    expect_distribution(cases[i], sample(rows).ids);
  }
}

TEST_P(Sample, FiltersOfLargeVocabulariesMatchASort) {
  for (const int top_k : {0, 1, 50, 3000}) {
    for (const float top_p : {1.0F, 0.95F, 0.3F}) {
      Row row{.logits = random_logits(5000, 13), .temperature = 3, .top_p = top_p, .top_k = top_k};
      const auto kept = survivors(row);
      std::vector<Row> rows(40, row);
      for (size_t d = 0; d < rows.size(); ++d) rows[d].draw = static_cast<int64_t>(d);
      for (const TokenId id : sample(rows).ids)
        EXPECT_TRUE(std::find(kept.begin(), kept.end(), id) != kept.end());
    }
  }
}

TEST_P(Sample, ADrawDependsOnSeedNumberAndDistributionAlone) {
  const Row row{.logits = random_logits(300, 3), .temperature = 2, .seed = 77, .draw = 5};
  const TokenId alone = sample_one(row);
  std::vector<Row> rows(9, {.logits = random_logits(300, 4), .temperature = 1});
  rows[6] = row;
  EXPECT_EQ(sample(rows).ids[6], alone);
  std::vector<TokenId> other;
  for (int i = 0; i < 32; ++i) {
    Row changed = row;
    (i % 2 == 0 ? changed.seed : reinterpret_cast<uint64_t&>(changed.draw)) += 1 + i;
    other.push_back(sample_one(changed));
  }
  EXPECT_LT(std::count(other.begin(), other.end(), alone), 16);
}

// The race against a plain rendering of its specification.
uint32_t philox_word(uint64_t seed, int64_t draw, uint32_t id) {
  uint32_t c[4] = {static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32), id, 0};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
                              static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
    std::copy_n(next, 4, c);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c[0];
}

TEST_P(Sample, DrawsTheWinnerOfTheExponentialRace) {
  for (int64_t draw = 0; draw < 40; ++draw) {
    Row row{.logits = random_logits(97, 21), .temperature = 2, .seed = 0x123456789abcdef0};
    row.draw = draw + (int64_t{1} << 33);
    int best = -1;
    double best_score = 0, second = 0;
    for (int id = 0; id < 97; ++id) {
      const double u = (std::floor(philox_word(row.seed, row.draw, id) / 512.0) + 0.5) / 8388608.0;
      const double score = std::exp(row.logits[id] / 2.0) / -std::log(u);
      second = std::max(second, std::min(score, best_score));
      if (score > best_score) best = id;
      best_score = std::max(score, best_score);
    }
    if (best_score < second * 1.0001) continue;  // within f32's rounding
    EXPECT_EQ(sample_one(row), best) << "draw " << draw;
  }
}

}  // namespace
}  // namespace sluice
