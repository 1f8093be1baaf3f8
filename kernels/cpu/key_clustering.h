// k-means of the directions of keys: which keys share a cluster.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/thread_pool.h"

namespace sluice {

// Sum of a[i] * b[i], i < n, in sixteen partial sums that are added in a fixed order.
float dot(const float* a, const float* b, int n);

struct KeyClustering {
  std::vector<int32_t> labels;     // [keys], each in [0, num_clusters); no cluster is empty
  std::vector<double> objectives;  // of each Lloyd iteration: sum of squared distances to centres
};

// Largest cluster, in mean ones, where the keys allow it: a giant is opened by every query.
inline constexpr int kMaxClusterShare = 8;

// Clusters `keys` [n, head_dim] by direction into num_clusters (1 ... n): k-means++ (Arthur and
// Vassilvitskii, SODA 2007) and Lloyd iterations on the unit vectors of the keys less their mean,
// which is common to all and would hide their differences; then the largest clusters are split
// until there are num_clusters and no giant. The result is a function of keys, num_clusters and
// seed alone, whatever the number of threads.
KeyClustering cluster_directions(std::span<const float> keys, int head_dim, int num_clusters,
                                 uint64_t seed, ThreadPool& pool);

}  // namespace sluice
