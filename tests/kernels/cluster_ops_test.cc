// Clustered contexts on every backend that has them: order, scores, selection, calibration.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/backends.h"
#include "tests/kernels/cluster_fixture.h"

namespace sluice {
namespace {

constexpr float kAll = -std::numeric_limits<float>::infinity();
constexpr float kNone = 0;  // no token gets more than the whole softmax

using Clusters = KernelTest;

// Backends that have the ops, and of the host's one, whose instruction set changes nothing here.
std::vector<BackendCase> cluster_cases() {
  std::vector<BackendCase> cases;
  for (const BackendCase& c : backend_cases()) {
    if (c.backend->cluster_ops() == nullptr) continue;
    if (!cases.empty() && cases.back().backend->info().is_host && c.backend->info().is_host)
      cases.pop_back();
    cases.push_back(c);
  }
  return cases;
}

ContextShape shape_of(DType kv, int length = 512, int clusters = 24) {
  return {.kv = kv,
          .clusters = {.length = length,
                       .first = 16,
                       .count = length - 16 - 100,
                       .num_clusters = clusters,
                       .num_coarse = std::max(1, clusters / 5)},
          .tail = 150};
}

// Softmax weight per token of each cluster, for the row `row` of queries and one KV head:
// [group][cluster].
std::vector<std::vector<double>> scores_of_row(const ClusterFixture& f, const ContextShape& s,
                                               int row, int head) {
  const int d = s.head_dim, n = s.clusters.num_clusters, group = s.q_heads / s.kv_heads;
  const auto centroids = f.centroids();
  const auto begins = f.begins();
  const int32_t* b = begins.data() + int64_t{head} * (n + 1);
  std::vector<std::vector<double>> all;
  for (int g = 0; g < group; ++g) {
    std::vector<double> x(static_cast<size_t>(n), 0);
    const double* q = f.queries.data() + (int64_t{row} * s.q_heads + head * group + g) * d;
    for (int c = 0; c < n; ++c) {
      for (int i = 0; i < d; ++i) x[c] += q[i] * centroids[(int64_t{head} * n + c) * d + i];
      x[c] *= static_cast<double>(f.scale());
    }
    const double most = *std::ranges::max_element(x);
    double sum = 0;
    for (int c = 0; c < n; ++c) sum += (b[c + 1] - b[c]) * std::exp(x[c] - most);
    for (double& value : x) value = std::exp(value - most) / sum;
    all.push_back(x);
  }
  return all;
}

// Rows [first, first + count) of the queries.
struct RowSpan {
  int first, count;
};

TEST_P(Clusters, OrderIsAPermutationAndClustersTileIt) {
  for (const DType kv : {DType::kF32, DType::kBF16}) {
    const ContextShape s = shape_of(kv);
    ClusterFixture f(backend(), s, 1);
    f.cluster();
    const auto order = f.order(), begins = f.begins(), coarse = f.coarse_begins();
    const ClusterShape& c = s.clusters;
    for (int h = 0; h < s.kv_heads; ++h) {
      std::vector<int32_t> slots(order.begin() + h * c.count, order.begin() + (h + 1) * c.count);
      std::ranges::sort(slots);
      std::vector<int32_t> want(slots.size());
      std::iota(want.begin(), want.end(), c.first);
      EXPECT_EQ(slots, want);
      const auto ascends = [](const int32_t* at, int n, int from, int to) {
        EXPECT_EQ(at[0], from);
        EXPECT_EQ(at[n], to);
        for (int i = 0; i < n; ++i) EXPECT_LT(at[i], at[i + 1]);  // no empty cluster
      };
      ascends(begins.data() + h * (c.num_clusters + 1), c.num_clusters, c.first, c.first + c.count);
      ascends(coarse.data() + h * (c.num_coarse + 1), c.num_coarse, 0, c.num_clusters);
    }
  }
}

TEST_P(Clusters, CentroidsAreMeansOfTheirKeys) {
  const ContextShape s = shape_of(DType::kF32);
  ClusterFixture f(backend(), s, 2);
  f.cluster();
  const auto order = f.order(), begins = f.begins();
  const auto got = f.centroids();
  std::vector<double> want;
  for (int h = 0; h < s.kv_heads; ++h) {
    for (int c = 0; c < s.clusters.num_clusters; ++c) {
      const int32_t* b = begins.data() + h * (s.clusters.num_clusters + 1) + c;
      for (int i = 0; i < s.head_dim; ++i) {
        double sum = 0;
        for (int slot = b[0]; slot < b[1]; ++slot) {
          const int32_t token = order[h * s.clusters.count + slot - s.clusters.first];
          sum += f.keys[(int64_t{token} * s.kv_heads + h) * s.head_dim + i];
        }
        want.push_back(sum / (b[1] - b[0]));
      }
    }
  }
  expect_close(got, want, {1e-5, 1e-5});
}

TEST_P(Clusters, MovingKeepsEveryValueAndTheAttention) {
  for (const DType kv : {DType::kF32, DType::kBF16}) {
    const ContextShape s = shape_of(kv);
    ClusterFixture f(backend(), s, 3);
    const auto before = f.attend(70, false);
    f.cluster();
    const auto order = f.order();
    for (const int slot : {0, 15, 16, 17, 63, 64, 100, 411, 412, 511, 512, 600}) {
      const auto got = f.value_at(slot);
      const int i = slot - s.clusters.first;
      const int group = s.q_heads / s.kv_heads;
      for (int h = 0; h < s.q_heads; ++h) {
        const int token =
            i >= 0 && i < s.clusters.count ? order[h / group * s.clusters.count + i] : slot;
        for (int x = 0; x < s.head_dim; ++x) {
          ASSERT_EQ(got[h * s.head_dim + x],
                    f.values[(int64_t{token} * s.kv_heads + h / group) * s.head_dim + x])
              << "slot " << slot << " head " << h;
        }
      }
    }
    expect_close(f.attend(70, false), before,
                 attend_tolerance(kv, DType::kF32, backend().info().activations, 1));
    // All clusters are one run: dense attention by another way.
    const auto dense = f.attend(70, false);
    const auto selected =
        f.select(70, ClusterQuery{.clusters = &f.clusters(), .log_threshold = kAll});
    for (const auto& runs : selected.runs) EXPECT_EQ(runs.size(), 1U);
    for (const auto& stats : selected.stats) EXPECT_EQ(stats.kept, s.clusters.count);
    expect_close(f.attend(70, true), dense,
                 attend_tolerance(kv, DType::kF32, backend().info().activations, 1));
  }
}

// s_i of ClusterOps::select_clusters for rows [first, first + count) of the queries and one KV
// head.
std::vector<double> reduced_scores(const ClusterFixture& f, const ContextShape& s, RowSpan rows,
                                   int head, GroupScore group) {
  const int n = s.clusters.num_clusters, heads = s.q_heads / s.kv_heads;
  std::vector<double> reduced(static_cast<size_t>(n), 0);
  for (int g = 0; g < heads; ++g) {
    std::vector<double> mean(static_cast<size_t>(n), 0);
    for (int r = 0; r < rows.count; ++r) {
      const auto all = scores_of_row(f, s, rows.first + r, head);
      for (int c = 0; c < n; ++c) mean[c] += all[g][c] / rows.count;
    }
    for (int c = 0; c < n; ++c) {
      reduced[c] =
          group == GroupScore::kMax ? std::max(reduced[c], mean[c]) : reduced[c] + mean[c] / heads;
    }
  }
  return reduced;
}

TEST_P(Clusters, SelectionIsTheThresholdOfTheFormula) {
  const ContextShape s = shape_of(DType::kF32);
  ClusterFixture f(backend(), s, 4);
  f.cluster();
  const auto begins = f.begins();
  constexpr float kThreshold = -6;
  for (const GroupScore group : {GroupScore::kMax, GroupScore::kMean}) {
    for (const int rows : {1, 7, 64, 65, 128}) {
      const auto got = f.select(rows, ClusterQuery{.clusters = &f.clusters(),
                                                   .log_threshold = kThreshold,
                                                   .log_coarse_threshold = kAll,
                                                   .group = group});
      for (int list = 0; list < static_cast<int>(got.runs.size()); ++list) {
        SCOPED_TRACE(testing::Message() << "list " << list << " of " << rows << " rows");
        const int first = list / s.kv_heads * kQueryTile, h = list % s.kv_heads;
        const RowSpan span{f.tokens() - rows + first, std::min(kQueryTile, rows - first)};
        const auto scores = reduced_scores(f, s, span, h, group);
        const auto best = std::ranges::max_element(scores) - scores.begin();
        const auto slots = got.tokens(list);
        double skipped = 0;
        for (int c = 0; c < s.clusters.num_clusters; ++c) {
          const int32_t* b = begins.data() + h * (s.clusters.num_clusters + 1) + c;
          const bool kept = slots.contains(b[0]);
          const double above = std::log(scores[c]) - static_cast<double>(kThreshold);
          EXPECT_TRUE(kept == (above > 0 || c == best) || std::fabs(above) < 1e-3) << c;
          for (int slot = b[0]; slot < b[1]; ++slot) EXPECT_EQ(slots.contains(slot), kept);
          skipped += kept ? 0 : (b[1] - b[0]) * scores[c];
        }
        EXPECT_NEAR(static_cast<double>(got.stats[list].skipped_mass), skipped, 1e-4);
        for (int slot = 0; slot < f.tokens(); ++slot) {
          const bool exact = slot < s.clusters.first || slot >= s.clusters.first + s.clusters.count;
          EXPECT_TRUE(!exact || slots.contains(slot)) << slot;  // sinks, window, tail
        }
      }
    }
  }
}

TEST_P(Clusters, AClusterATokenIsTheSoftmaxItself) {
  ContextShape s = shape_of(DType::kF32, 256, 140);
  s.q_heads = s.kv_heads;  // so that the scores of a cluster are those of one head
  ClusterFixture f(backend(), s, 5);
  f.cluster();
  const auto begins = f.begins();
  for (int i = 0; i <= 140; ++i) ASSERT_EQ(begins[i], 16 + i);
  // Scores over the clustered tokens sum to one: what is skipped and the best one's share.
  const auto got = f.select(
      1, ClusterQuery{
             .clusters = &f.clusters(), .log_threshold = kNone, .log_coarse_threshold = kAll});
  for (int h = 0; h < s.kv_heads; ++h) {
    EXPECT_EQ(got.stats[h].kept, 1);
    const double best = std::ranges::max(scores_of_row(f, s, f.tokens() - 1, h).front());
    EXPECT_NEAR(static_cast<double>(got.stats[h].skipped_mass) + best, 1, 1e-4);
  }
}

TEST_P(Clusters, HugeLogitsAndKeysAllAlikeGiveNumbers) {
  ContextShape huge = shape_of(DType::kF32);
  huge.key_scale = 100;
  ContextShape alike = shape_of(DType::kF32);
  alike.alike = true;
  for (const ContextShape& s : {huge, alike}) {
    ClusterFixture f(backend(), s, 6);
    f.cluster();
    const auto got = f.select(
        3,
        ClusterQuery{.clusters = &f.clusters(), .log_threshold = -3, .log_coarse_threshold = -3});
    for (const SelectionStats& stats : got.stats) {
      EXPECT_GE(stats.kept, 1);
      EXPECT_TRUE(std::isfinite(stats.skipped_mass)) << stats.skipped_mass;
    }
    for (const double x : f.attend(3, true)) EXPECT_TRUE(std::isfinite(x));
    const auto histogram = f.log_scores(3, GroupScore::kMax);
    EXPECT_EQ(std::accumulate(histogram.begin(), histogram.end(), 0.0),
              3.0 * s.kv_heads * s.clusters.count);
  }
}

TEST_P(Clusters, TheCoarseLevelOnlyTakesAway) {
  const ContextShape s = shape_of(DType::kF32, 1024, 60);
  ClusterFixture f(backend(), s, 7);
  f.cluster();
  const ClusterQuery flat{
      .clusters = &f.clusters(), .log_threshold = -6.5F, .log_coarse_threshold = kAll};
  ClusterQuery two = flat;
  two.log_coarse_threshold = -6.5F;
  const auto all = f.select(1, flat), less = f.select(1, two);
  bool fewer = false;
  for (int h = 0; h < s.kv_heads; ++h) {
    const auto of_flat = all.tokens(h), of_two = less.tokens(h);
    EXPECT_TRUE(std::ranges::includes(of_flat, of_two));
    fewer |= of_two.size() < of_flat.size();
    EXPECT_GT(less.stats[h].kept, 0);
  }
  EXPECT_TRUE(fewer);  // else the level did nothing
}

TEST_P(Clusters, RunawayTilesAndNeighboursWithoutClustersAreDense) {
  const ContextShape s = shape_of(DType::kF32);
  ClusterFixture f(backend(), s, 8);
  f.cluster();
  const ClusterQuery squeezed{
      .clusters = &f.clusters(), .log_threshold = -6.0F, .log_coarse_threshold = kAll};
  ClusterQuery capped = squeezed;
  capped.dense_above = 0.01F;
  const auto alone = f.select(5, squeezed);
  const auto mixed = f.select(5, {ClusterQuery{}, squeezed, capped});
  const auto whole = std::vector{KvRun{0, f.tokens()}};
  const auto same = [](const std::vector<KvRun>& a, const std::vector<KvRun>& b) {
    return std::ranges::equal(
        a, b, [](const KvRun& x, const KvRun& y) { return x.start == y.start && x.len == y.len; });
  };
  for (int h = 0; h < s.kv_heads; ++h) {
    EXPECT_TRUE(same(mixed.runs[h], whole));
    EXPECT_TRUE(same(mixed.runs[s.kv_heads + h], alone.runs[h]));
    EXPECT_TRUE(same(mixed.runs[2 * s.kv_heads + h], whole));
    EXPECT_FALSE(same(alone.runs[h], whole));
  }
}

// Tokens that the formula skips at the histogram's threshold are the share that was asked for.
TEST_P(Clusters, TheHistogramFindsTheThresholdOfAShare) {
  const ContextShape s = shape_of(DType::kF32, 2048, 190);
  ClusterFixture f(backend(), s, 9);
  f.cluster();
  constexpr int kRows = 60;
  const auto histogram = f.log_scores(kRows, GroupScore::kMax);
  const double total = std::accumulate(histogram.begin(), histogram.end(), 0.0);
  for (const double sparsity : {0.5, 0.7, 0.9}) {
    double below = 0;
    int bin = 0;
    while (below < sparsity * total) below += histogram[bin++];
    const auto begins = f.begins();
    double skipped = 0;
    for (int r = 0; r < kRows; ++r) {
      for (int h = 0; h < s.kv_heads; ++h) {
        const auto scores = scores_of_row(f, s, f.tokens() - kRows + r, h);
        for (int c = 0; c < s.clusters.num_clusters; ++c) {
          const double score = std::max(scores[0][c], scores[1][c]);
          const int32_t* b = begins.data() + h * (s.clusters.num_clusters + 1) + c;
          if (std::log(score) <= static_cast<double>(score_bin_floor(bin))) skipped += b[1] - b[0];
        }
      }
    }
    EXPECT_NEAR(skipped / total, sparsity, 0.005 + 1.0 / s.clusters.num_clusters);
  }
}

TEST_P(Clusters, TheSameKeysGiveTheSameClusters) {
  const ContextShape s = shape_of(DType::kBF16);
  ClusterFixture a(backend(), s, 10), b(backend(), s, 10);
  a.cluster();
  b.cluster();
  EXPECT_EQ(a.order(), b.order());
  EXPECT_EQ(a.begins(), b.begins());
  EXPECT_EQ(a.centroids(), b.centroids());
}

INSTANTIATE_TEST_SUITE_P(, Clusters, testing::ValuesIn(cluster_cases()),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace sluice
