// Seeding, Lloyd iterations, and the repair of empty and giant clusters.
#include "kernels/cpu/key_clustering.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/types.h"

namespace sluice {
namespace {

constexpr int kMaxIterations = 20;
constexpr int64_t kSettled = 1000;  // iterations end when less than one label in so many changes
constexpr int64_t kChunk = 256;     // keys of a job
constexpr int kLanes = 16;
constexpr int kSplitIterations = 8;
// One cluster in so many is left to the repair, which splits the largest.
constexpr int kReserve = 20;

// Uniform in [0, 1), a hash of (seed, draw): splitmix64's output function, as
// Backend::random_weight.
double uniform(uint64_t seed, uint64_t draw) {
  uint64_t z = seed + (draw + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

class KMeans {
 public:
  KMeans(std::span<const float> keys, int d, int num_clusters, uint64_t seed, ThreadPool& pool)
      : d_(d),
        n_(static_cast<int64_t>(keys.size()) / d),
        wanted_(num_clusters),
        seed_(seed),
        pool_(pool),
        units_(keys.size()),
        labels_(static_cast<size_t>(n_), 0),
        distances_(static_cast<size_t>(n_), std::numeric_limits<float>::infinity()) {
    normalise(keys);
  }

  KeyClustering run() {
    seed_centres(std::max(1, wanted_ - wanted_ / kReserve));
    for (int i = 0; i < kMaxIterations; ++i) {
      const int64_t changed = assign();
      objectives_.push_back(std::accumulate(distances_.begin(), distances_.end(), 0.0));
      if (i > 0 && changed * kSettled < n_) break;
      update();
    }
    repair();
    return {std::move(labels_), std::move(objectives_)};
  }

 private:
  const float* unit(int64_t key) const { return units_.data() + key * d_; }
  float* centre(int64_t cluster) { return centres_.data() + cluster * d_; }
  int num_clusters() const { return static_cast<int>(half_norms_.size()); }

  void normalise(std::span<const float> keys) {
    std::vector<double> mean(static_cast<size_t>(d_), 0);
    for (int64_t i = 0; i < n_; ++i)
      for (int f = 0; f < d_; ++f) mean[f] += keys[i * d_ + f];
    for (double& m : mean) m /= static_cast<double>(n_);
    for (int64_t i = 0; i < n_; ++i) {
      float* to = units_.data() + i * d_;
      for (int f = 0; f < d_; ++f) to[f] = keys[i * d_ + f] - static_cast<float>(mean[f]);
      const float norm = std::sqrt(dot(to, to, d_));
      for (int f = 0; f < d_; ++f)
        to[f] = norm > 0 ? to[f] / norm : 0;  // the mean has no direction
    }
  }

  void add_centre(const float* at) {
    centres_.insert(centres_.end(), at, at + d_);
    half_norms_.push_back(dot(at, at, d_) / 2);
  }

  // body(key) over all keys, in parallel.
  template <typename Body>
  void for_keys(Body&& body) {
    pool_.parallel_for(ceil_div(n_, kChunk), [&](int64_t chunk, int) {
      const int64_t end = std::min(n_, (chunk + 1) * kChunk);
      for (int64_t i = chunk * kChunk; i < end; ++i) body(i);
    });
  }

  // k-means++: each next centre is a key, drawn by its squared distance to the nearest one so far.
  void seed_centres(int count) {
    auto drawn = static_cast<int64_t>(uniform(seed_, 0) * static_cast<double>(n_));
    for (int c = 0; c < count; ++c) {
      add_centre(unit(drawn));
      for_keys([&](int64_t i) {
        const float now = squared_distance(unit(i), centre(c));
        distances_[i] = std::min(distances_[i], now);
      });
      double total = 0;
      for (const float distance : distances_) total += distance;
      if (total <= 0) return;  // no other direction is left
      double left = uniform(seed_, static_cast<uint64_t>(c) + 1) * total;
      drawn = 0;
      for (int64_t i = 0; i < n_ && left >= 0; ++i) {
        if (distances_[i] <= 0) continue;
        drawn = i;
        left -= distances_[i];
      }
    }
  }

  float squared_distance(const float* a, const float* b) const {
    std::array<float, kLanes> sums{};
    int f = 0;
    for (; f + kLanes <= d_; f += kLanes)
      for (int lane = 0; lane < kLanes; ++lane)
        sums[lane] += (a[f + lane] - b[f + lane]) * (a[f + lane] - b[f + lane]);
    float sum = 0;
    for (; f < d_; ++f) sum += (a[f] - b[f]) * (a[f] - b[f]);
    for (const float s : sums) sum += s;
    return sum;
  }

  // |u - c|^2 = |u|^2 - 2 (u.c - |c|^2 / 2): nearest is who has the largest u.c - |c|^2 / 2.
  int nearest(const float* u, int except = -1) {
    int best = -1;
    float most = -std::numeric_limits<float>::infinity();
    for (int c = 0; c < num_clusters(); ++c) {
      const float score = dot(u, centre(c), d_) - half_norms_[c];
      if (score <= most || c == except) continue;
      most = score;
      best = c;
    }
    return best;
  }

  // Labels and distances of all keys; how many labels changed.
  int64_t assign() {
    std::vector<int64_t> changed(static_cast<size_t>(ceil_div(n_, kChunk)), 0);
    for_keys([&](int64_t i) {
      const int best = nearest(unit(i));
      changed[i / kChunk] += best != labels_[i] ? 1 : 0;
      labels_[i] = best;
      distances_[i] = squared_distance(unit(i), centre(best));
    });
    return std::accumulate(changed.begin(), changed.end(), int64_t{0});
  }

  // Centres become the means of their keys; one without keys stays, and may win some again.
  void update() {
    std::vector<double> sums(centres_.size(), 0);
    std::vector<int64_t> counts(half_norms_.size(), 0);
    for (int64_t i = 0; i < n_; ++i) {
      ++counts[labels_[i]];
      for (int f = 0; f < d_; ++f) sums[int64_t{labels_[i]} * d_ + f] += unit(i)[f];
    }
    for (int c = 0; c < num_clusters(); ++c) {
      if (counts[c] == 0) continue;
      for (int f = 0; f < d_; ++f) {
        const double mean = sums[int64_t{c} * d_ + f] / static_cast<double>(counts[c]);
        centre(c)[f] = static_cast<float>(mean);
      }
      half_norms_[c] = dot(centre(c), centre(c), d_) / 2;
    }
  }

  // Empty clusters go and the largest are split, until as many are there as were wanted; then the
  // smallest give way to halves of giants.
  void repair() {
    collect_members();
    while (static_cast<int>(members_.size()) < wanted_) split_largest();
    const int64_t most = kMaxClusterShare * ceil_div(n_, wanted_);
    for (int round = 0; round < wanted_; ++round) {
      const auto smallest = std::ranges::min_element(members_, {}, size_of_cluster);
      const auto largest = std::ranges::max_element(members_, {}, size_of_cluster);
      if (size_of_cluster(*largest) <= most || smallest == largest) break;
      dissolve(static_cast<int>(smallest - members_.begin()));
      split_largest();
    }
    for (size_t c = 0; c < members_.size(); ++c)
      for (const int32_t key : members_[c]) labels_[key] = static_cast<int32_t>(c);
  }

  static int64_t size_of_cluster(const std::vector<int32_t>& keys) {
    return static_cast<int64_t>(keys.size());
  }

  void collect_members() {
    std::vector<std::vector<int32_t>> all(static_cast<size_t>(num_clusters()));
    for (int64_t i = 0; i < n_; ++i) all[labels_[i]].push_back(static_cast<int32_t>(i));
    const std::vector<float> old = std::move(centres_);
    centres_.clear();
    half_norms_.clear();
    for (size_t c = 0; c < all.size(); ++c) {
      if (all[c].empty()) continue;
      members_.push_back(std::move(all[c]));
      add_centre(old.data() + static_cast<int64_t>(c) * d_);
    }
  }

  // The keys of `cluster` join their next nearest; the last cluster takes its place.
  void dissolve(int cluster) {
    for (const int32_t key : members_[cluster])
      members_[nearest(unit(key), cluster)].push_back(key);
    members_[cluster] = std::move(members_.back());
    members_.pop_back();
    std::copy_n(centre(num_clusters() - 1), d_, centre(cluster));
    half_norms_[cluster] = half_norms_.back();
    centres_.resize(centres_.size() - static_cast<size_t>(d_));
    half_norms_.pop_back();
  }

  // In two by 2-means, from the key farthest from the centre and the key farthest from that.
  void split_largest() {
    const auto largest = std::ranges::max_element(members_, {}, size_of_cluster);
    const auto at = largest - members_.begin();
    std::vector<int32_t> keys = std::move(*largest);
    SLUICE_CHECK_GT(keys.size(), size_t{1});
    const auto farthest = [&](const float* from) {
      return *std::ranges::max_element(
          keys, {}, [&](int32_t key) { return squared_distance(unit(key), from); });
    };
    std::vector<float> a(unit(farthest(centre(at))), unit(farthest(centre(at))) + d_);
    std::vector<float> b(unit(farthest(a.data())), unit(farthest(a.data())) + d_);
    std::vector<int32_t> left, right;
    for (int i = 0; i < kSplitIterations; ++i) {
      left.clear();
      right.clear();
      for (const int32_t key : keys) {
        const bool near_a =
            squared_distance(unit(key), a.data()) <= squared_distance(unit(key), b.data());
        (near_a ? left : right).push_back(key);
      }
      if (right.empty()) break;
      a = mean_of(left);
      b = mean_of(right);
    }
    if (left.empty() || right.empty()) {  // all alike
      left.assign(keys.begin(), keys.begin() + static_cast<int64_t>(keys.size()) / 2);
      right.assign(keys.begin() + static_cast<int64_t>(left.size()), keys.end());
      a = mean_of(left);
      b = mean_of(right);
    }
    members_[at] = std::move(left);
    std::copy(a.begin(), a.end(), centre(at));
    half_norms_[at] = dot(a.data(), a.data(), d_) / 2;
    members_.push_back(std::move(right));
    add_centre(b.data());
  }

  std::vector<float> mean_of(const std::vector<int32_t>& keys) const {
    std::vector<double> sum(static_cast<size_t>(d_), 0);
    for (const int32_t key : keys)
      for (int f = 0; f < d_; ++f) sum[f] += unit(key)[f];
    std::vector<float> mean(sum.size());
    for (int f = 0; f < d_; ++f)
      mean[f] = static_cast<float>(sum[f] / static_cast<double>(keys.size()));
    return mean;
  }

  const int d_;
  const int64_t n_;
  const int wanted_;
  const uint64_t seed_;
  ThreadPool& pool_;
  std::vector<float> units_;      // [n, d]
  std::vector<int32_t> labels_;   // [n]
  std::vector<float> distances_;  // [n] squared, to the key's centre
  std::vector<float> centres_;    // [clusters, d]
  std::vector<float> half_norms_;
  std::vector<std::vector<int32_t>> members_;  // repair's: keys of each cluster
  std::vector<double> objectives_;
};

}  // namespace

float dot(const float* a, const float* b, int n) {
  std::array<float, kLanes> sums{};
  int i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  float sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (const float s : sums) sum += s;
  return sum;
}

KeyClustering cluster_directions(std::span<const float> keys, int head_dim, int num_clusters,
                                 uint64_t seed, ThreadPool& pool) {
  const int64_t n = static_cast<int64_t>(keys.size()) / head_dim;
  SLUICE_CHECK_EQ(n * head_dim, static_cast<int64_t>(keys.size()));
  SLUICE_CHECK_GE(num_clusters, 1);
  SLUICE_CHECK_LE(int64_t{num_clusters}, n);
  return KMeans(keys, head_dim, num_clusters, seed, pool).run();
}

}  // namespace sluice
