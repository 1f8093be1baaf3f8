// ClusterOps: what Squeezed Attention (arXiv:2411.09688) asks of a backend beside attend(): to
// cluster a context's keys, to move them into that order, and to select by it.
//
// Ops of a Backend in all but the place: enqueued on its stream, called by its thread, allocating
// nothing after start-up. Pointers are device memory unless a comment says host.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/key_clusters.h"
#include "kernels/ragged_batch.h"
#include "kernels/tensor.h"

namespace sluice {

class ClusterOps {
 public:
  virtual ~ClusterOps() = default;

  // Clusters one layer's keys of a context in the order of its tokens: `blocks` [length / 64].
  // Fills `out` and order [kv_heads, count]: the slot that each clustered slot's token comes from.
  // A function of keys, shape and seed alone. Takes as long as some steps, for a long context.
  void cluster_keys(const KeyClusters& out, int32_t* order, const KvCacheView& kv,
                    const BlockId* blocks, uint64_t seed);

  // Copies K and V of a context's slots from the blocks `from`, in the order of its tokens, to the
  // blocks `to`, none of which is in `from`, in the order that cluster_keys found.
  void move_kv(const KvCacheView& kv, const BlockId* from, const BlockId* to, const int32_t* order,
               const ClusterShape& shape);

  // Runs of every (query tile, KV head) of a step: sinks, the clusters that its queries score above
  // the threshold, the window and all behind. With x_i = scale * q . centroid_i and N_i tokens,
  //   s_i = mean over the tile's rows of exp(x_i) / sum_j N_j exp(x_j), over the group as asked;
  // a tile's best cluster is always among them. The sum runs over all clusters; where coarse ones
  // are not looked into, it runs over these instead of theirs.
  //   q [tokens, num_q_heads * head_dim]: what attend() gets; queries [seqs] host, read at once
  void select_clusters(const SelectedRuns& out, TensorView q, int num_q_heads, float scale,
                       const RaggedBatchView& batch, int num_kv_heads,
                       std::span<const ClusterQuery> queries);

  // histogram [kScoreBins] += for each row of q by itself, each KV head and each clustered token:
  // one in the bin of its log s_i.
  void add_log_scores(double* histogram, TensorView q, int num_q_heads, float scale,
                      const KeyClusters& clusters, GroupScore group);

 private:
  virtual void do_cluster_keys(const KeyClusters& out, int32_t* order, const KvCacheView& kv,
                               const BlockId* blocks, uint64_t seed) = 0;
  virtual void do_move_kv(const KvCacheView& kv, const BlockId* from, const BlockId* to,
                          const int32_t* order, const ClusterShape& shape) = 0;
  virtual void do_select_clusters(const SelectedRuns& out, TensorView q, int num_q_heads,
                                  float scale, const RaggedBatchView& batch, int num_kv_heads,
                                  std::span<const ClusterQuery> queries) = 0;
  virtual void do_add_log_scores(double* histogram, TensorView q, int num_q_heads, float scale,
                                 const KeyClusters& clusters, GroupScore group) = 0;
};

}  // namespace sluice
