// The checks of the cluster ops, made once, before either device computes.
#include "kernels/cluster_ops.h"

#include "base/check.h"

namespace sluice {
namespace {

void check_shape(const ClusterShape& shape) {
  SLUICE_CHECK_GE(shape.first, 0);
  SLUICE_CHECK_GT(shape.count, 0);
  SLUICE_CHECK_LE(shape.first + shape.count, shape.length);
  SLUICE_CHECK_EQ(shape.length % kBlockTokens, 0);
  SLUICE_CHECK(shape.num_clusters >= 1 && shape.num_clusters <= shape.count);
  SLUICE_CHECK(shape.num_coarse >= 1 && shape.num_coarse <= shape.num_clusters);
}

void check_clusters(const KeyClusters& clusters, int64_t num_kv_heads, int64_t head_dim) {
  check_shape(clusters.shape);
  SLUICE_CHECK_EQ(clusters.centroids.rows, num_kv_heads * clusters.shape.num_clusters);
  SLUICE_CHECK_EQ(clusters.coarse.rows, num_kv_heads * clusters.shape.num_coarse);
  SLUICE_CHECK_EQ(clusters.centroids.cols, head_dim);
  SLUICE_CHECK_EQ(clusters.coarse.cols, head_dim);
}

}  // namespace

void ClusterOps::cluster_keys(const KeyClusters& out, int32_t* order, const KvCacheView& kv,
                              const BlockId* blocks, uint64_t seed) {
  check_clusters(out, kv.num_kv_heads, kv.head_dim);
  do_cluster_keys(out, order, kv, blocks, seed);
}

void ClusterOps::move_kv(const KvCacheView& kv, const BlockId* from, const BlockId* to,
                         const int32_t* order, const ClusterShape& shape) {
  check_shape(shape);
  do_move_kv(kv, from, to, order, shape);
}

void ClusterOps::select_clusters(const SelectedRuns& out, TensorView q, int num_q_heads,
                                 float scale, const RaggedBatchView& batch, int num_kv_heads,
                                 std::span<const ClusterQuery> queries) {
  SLUICE_CHECK_EQ(q.rows, batch.num_tokens);
  SLUICE_CHECK_EQ(static_cast<int>(queries.size()), batch.num_seqs);
  SLUICE_CHECK_EQ(num_q_heads % num_kv_heads, 0);
  int64_t runs = 0;
  for (int s = 0; s < batch.num_seqs; ++s) {
    const int64_t rows = batch.host->q_indptr[s + 1] - batch.host->q_indptr[s];
    const KeyClusters* clusters = queries[s].clusters;
    if (clusters != nullptr) {
      check_clusters(*clusters, num_kv_heads, q.cols / num_q_heads);
      SLUICE_CHECK_LE(clusters->shape.length + rows, batch.host->kv_lens[s]);
    }
    runs += ceil_div(rows, kQueryTile) * num_kv_heads *
            (clusters == nullptr ? 1 : max_selected_runs(clusters->shape));
  }
  SLUICE_CHECK_LE(runs, out.max_runs);
  if (q.rows > 0) do_select_clusters(out, q, num_q_heads, scale, batch, num_kv_heads, queries);
}

void ClusterOps::add_log_scores(double* histogram, TensorView q, int num_q_heads, float scale,
                                const KeyClusters& clusters, GroupScore group) {
  SLUICE_CHECK_GT(num_q_heads, 0);
  const int64_t head_dim = q.cols / num_q_heads;
  check_clusters(clusters, clusters.centroids.rows / clusters.shape.num_clusters, head_dim);
  if (q.rows > 0) do_add_log_scores(histogram, q, num_q_heads, scale, clusters, group);
}

}  // namespace sluice
