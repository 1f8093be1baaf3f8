// k-means of directions: what it finds, and what it does with keys that do not cluster.
#include "kernels/cpu/key_clustering.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace sluice {
namespace {

constexpr int kDim = 32;

std::vector<int64_t> sizes_of(const KeyClustering& found, int clusters) {
  std::vector<int64_t> sizes(static_cast<size_t>(clusters), 0);
  for (const int32_t label : found.labels) ++sizes.at(static_cast<size_t>(label));
  return sizes;
}

// Keys of `groups` directions with a common offset far larger than they.
std::vector<float> mixture(int keys, int groups, std::mt19937& rng) {
  std::normal_distribution<float> normal;
  std::vector<float> directions(static_cast<size_t>(groups * kDim));
  for (float& x : directions) x = normal(rng);
  std::vector<float> all;
  for (int i = 0; i < keys; ++i)
    for (int f = 0; f < kDim; ++f)
      all.push_back(50 + directions[i % groups * kDim + f] + 0.05F * normal(rng));
  return all;
}

TEST(KeyClustering, FindsDirectionsBehindACommonOffset) {
  std::mt19937 rng(1);
  ThreadPool pool(1);
  constexpr int kGroups = 10;
  // Some clusters more than groups: one in twenty is the repair's to split.
  const auto found = cluster_directions(mixture(500, kGroups, rng), kDim, 12, 1, pool);
  std::map<int32_t, int> group_of;  // of a cluster
  for (int i = 0; i < 500; ++i) {
    const auto [at, is_new] = group_of.try_emplace(found.labels[i], i % kGroups);
    EXPECT_EQ(at->second, i % kGroups) << "key " << i;
  }
}

TEST(KeyClustering, ObjectiveNeverRises) {
  std::mt19937 rng(2);
  ThreadPool pool(1);
  std::normal_distribution<float> normal;
  std::vector<float> keys(2000 * kDim);
  for (float& x : keys) x = normal(rng);
  const auto found = cluster_directions(keys, kDim, 100, 1, pool);
  ASSERT_GT(found.objectives.size(), 2U);
  for (size_t i = 1; i < found.objectives.size(); ++i)
    EXPECT_LE(found.objectives[i], found.objectives[i - 1] * (1 + 1e-6));
  EXPECT_LT(found.objectives.back(), 0.9 * found.objectives.front());
}

TEST(KeyClustering, ThreadsDoNotChangeALabel) {
  std::mt19937 rng(3);
  const auto keys = mixture(3000, 40, rng);
  ThreadPool one(1), three(3);
  EXPECT_EQ(cluster_directions(keys, kDim, 150, 7, one).labels,
            cluster_directions(keys, kDim, 150, 7, three).labels);
}

TEST(KeyClustering, NoClusterIsEmptyOrAGiant) {
  std::mt19937 rng(4);
  ThreadPool pool(1);
  std::normal_distribution<float> normal;
  // Nine keys of ten lie within a narrow cone.
  std::vector<float> keys;
  for (int i = 0; i < 2000; ++i)
    for (int f = 0; f < kDim; ++f)
      keys.push_back(i % 10 == 0 ? normal(rng) : (f == 0 ? 9.0F : 0.0F) + 0.01F * normal(rng));
  const auto sizes = sizes_of(cluster_directions(keys, kDim, 100, 1, pool), 100);
  EXPECT_GE(std::ranges::min(sizes), 1);
  EXPECT_LE(std::ranges::max(sizes), kMaxClusterShare * 20);
}

TEST(KeyClustering, TakesFewKeysEqualKeysAndZeros) {
  ThreadPool pool(1);
  for (const float value : {0.0F, 1.0F}) {
    const std::vector<float> same(7 * kDim, value);
    for (const int clusters : {1, 2, 7}) {
      const auto sizes = sizes_of(cluster_directions(same, kDim, clusters, 1, pool), clusters);
      EXPECT_GE(std::ranges::min(sizes), 1);
    }
  }
  std::vector<float> one_zero(3 * kDim, 1.0F);
  std::fill_n(one_zero.begin(), kDim, 0.0F);
  EXPECT_GE(std::ranges::min(sizes_of(cluster_directions(one_zero, kDim, 3, 1, pool), 3)), 1);
}

}  // namespace
}  // namespace sluice
