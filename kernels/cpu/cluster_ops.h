// ClusterOps on host memory, plainly: a GPU is held to this.
#pragma once

#include "kernels/cluster_ops.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {

// `pool` must outlive it.
class CpuClusterOps final : public ClusterOps {
 public:
  explicit CpuClusterOps(ThreadPool& pool) : pool_(pool) {}

 private:
  void do_cluster_keys(const KeyClusters& out, int32_t* order, const KvCacheView& kv,
                       const BlockId* blocks, uint64_t seed) override;
  void do_move_kv(const KvCacheView& kv, const BlockId* from, const BlockId* to,
                  const int32_t* order, const ClusterShape& shape) override;
  void do_select_clusters(const SelectedRuns& out, TensorView q, int num_q_heads, float scale,
                          const RaggedBatchView& batch, int num_kv_heads,
                          std::span<const ClusterQuery> queries) override;
  void do_add_log_scores(double* histogram, TensorView q, int num_q_heads, float scale,
                         const KeyClusters& clusters, GroupScore group) override;

  ThreadPool& pool_;
};

}  // namespace sluice
