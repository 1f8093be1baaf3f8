// Fixed contexts whose keys are sorted by direction: what Squeezed Attention (arXiv:2411.09688)
// reads instead of every key.
//
// Once a context is computed, nothing depends on the order of its tokens: causality inside it is
// spent, and positions are rotated into its keys. So each (layer, KV head) keeps them in an order
// of its own, in which a cluster of keys is one run:
//
//   slot:  | sinks | cluster 0 | cluster 1 | ... | cluster n - 1 | window |  the sequence's tokens
//   ...
//          0       first                                  first + count   length
//
// A query scores one key a cluster, and attends to the clusters that would get more than a
// threshold of its softmax a token, and to sinks, window and everything behind the context, always.
#pragma once

#include <cstdint>

#include "kernels/ragged_batch.h"
#include "kernels/tensor.h"

namespace sluice {

// Which slots of a context are clustered, and into how many clusters a KV head.
struct ClusterShape {
  int length = 0;  // slots of the context, whole blocks
  int first = 0;   // clustered are [first, first + count)
  int count = 0;
  int num_clusters = 0;  // 1 ... count
  int num_coarse = 0;    // clusters of clusters; 1 ... num_clusters
};

// The clusters of one layer of one context. Borrows device memory. Clusters of a coarse one lie
// side by side.
struct KeyClusters {
  ClusterShape shape;
  TensorView centroids;       // [kv_heads * num_clusters, head_dim], the cache's dtype: mean keys
  TensorView coarse;          // [kv_heads * num_coarse, head_dim], likewise of all their tokens
  int32_t* begins = nullptr;  // [kv_heads, num_clusters + 1] slots, from first to first + count
  int32_t* coarse_begins = nullptr;  // [kv_heads, num_coarse + 1] clusters, from 0 to num_clusters
};

// How the query heads of a KV head agree on one score for a cluster.
enum class GroupScore : uint8_t { kMax, kMean };

// What one sequence of a step selects from.
struct ClusterQuery {
  // Null: the sequence attends to all its keys.
  const KeyClusters* clusters = nullptr;
  // Clusters are attended whose tokens get more than its exponential of the softmax, one by one.
  // -inf: all.
  float log_threshold = 0;
  // The same for coarse clusters, whose clusters are not looked at otherwise. -inf: all are.
  float log_coarse_threshold = 0;
  GroupScore group = GroupScore::kMax;
  // A (query tile, KV head) that would attend to a larger share of the clustered tokens attends to
  // all of them.
  float dense_above = 1;
};

// Of one (query tile, KV head).
struct SelectionStats {
  int32_t kept = 0;        // clustered tokens attended
  float skipped_mass = 0;  // softmax that the others would have had, as their centroids tell
};

// Where selected runs go: device memory.
struct SelectedRuns {
  const int32_t* tile_indptr = nullptr;  // [seqs + 1], as KvRunsView's; in
  int32_t* run_indptr = nullptr;         // [tiles * kv_heads + 1]
  KvRun* runs = nullptr;                 // [max_runs]
  SelectionStats* stats = nullptr;       // [tiles * kv_heads]
  int64_t max_runs = 0;

  KvRunsView view() const { return {tile_indptr, run_indptr, runs}; }
};

// Runs that one (query tile, KV head) may need: every second cluster, sinks and window.
constexpr int64_t max_selected_runs(const ClusterShape& shape) {
  return ceil_div(shape.num_clusters, 2) + 2;
}

// Histogram of log scores, by which a threshold is found for any share of tokens to skip.
inline constexpr int kScoreBins = 4096;
inline constexpr float kLowestLogScore = -32;  // bin 0 holds what lies below, the last ends at 0

constexpr float score_bin_floor(int bin) {
  return kLowestLogScore - kLowestLogScore * static_cast<float>(bin) / kScoreBins;
}

}  // namespace sluice
