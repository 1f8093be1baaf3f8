// A context with random keys in a block arena, its clusters, and the same keys in their order: what
// cluster_ops_test.cc drives.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "tests/kernels/tensors.h"

namespace sluice {

struct ContextShape {
  int q_heads = 4, kv_heads = 2, head_dim = 64;
  DType kv = DType::kF32;
  ClusterShape clusters = {};
  int tail = 0;          // tokens of a sequence behind the context
  double key_scale = 1;  // of keys: 1 gives logits within a few units
  bool alike = false;    // all keys of the context equal
};

// One sequence: context, then tail. Positions are not rotated, so that keys are what was written.
class ClusterFixture {
 public:
  ClusterFixture(Backend& backend, const ContextShape& shape, uint32_t seed);

  // Clusters the context and moves it to blocks of its own, which the sequence then reads.
  void cluster();
  const KeyClusters& clusters() const { return clusters_; }

  struct Selected {
    std::vector<std::vector<KvRun>> runs;  // by (tile, KV head)
    std::vector<SelectionStats> stats;
    std::set<int> tokens(int list) const;  // slots in runs[list]
  };
  // The last `rows` tokens as a step of this sequence, of as many sequences as there are queries:
  // each the same one.
  Selected select(int rows, const std::vector<ClusterQuery>& queries);
  Selected select(int rows, const ClusterQuery& query) { return select(rows, std::vector{query}); }
  // Attention of the last `rows` rows, cut to the last select()'s runs if `selected`.
  std::vector<double> attend(int rows, bool selected);
  // Attention of the last row to the keys of one slot: its value, to the bit.
  std::vector<double> value_at(int slot);
  std::vector<double> log_scores(int rows, GroupScore group);

  // What the sequence was made of, by token, and read back.
  std::vector<double> keys, values, queries;  // [tokens, heads, head_dim]
  std::vector<int32_t> order() const;         // [kv_heads, count]
  std::vector<int32_t> begins() const;        // [kv_heads, num_clusters + 1]
  std::vector<int32_t> coarse_begins() const;
  std::vector<double> centroids() const { return centroids_.get(); }
  int tokens() const { return shape_.clusters.length + shape_.tail; }
  float scale() const;

 private:
  void write();
  RaggedBatch batch_of(int rows, int sequences) const;
  KvCacheView kv() const;
  TensorView last_queries(int rows, int sequences);

  Backend& backend_;
  ContextShape shape_;
  int num_blocks_;
  std::vector<BlockId> blocks_;
  Buffer arena_, begins_, coarse_begins_, order_, tile_indptr_, run_indptr_, runs_, stats_;
  DeviceTensor centroids_, coarse_, qkv_;
  std::vector<Buffer> uploads_;
  KeyClusters clusters_;
};

}  // namespace sluice
