// Clustering, moving and selecting keys.
#include "kernels/cpu/cluster_ops.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/cluster_selection.h"
#include "kernels/cpu/key_clustering.h"
#include "kernels/cpu/kv_tile.h"

namespace sluice {
namespace {

float element(const void* data, DType dtype, int64_t index) {
  return dtype == DType::kF32 ? static_cast<const float*>(data)[index]
                              : to_float(static_cast<const BF16*>(data)[index]);
}

void store(void* data, DType dtype, int64_t index, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(data)[index] = value;
  } else {
    static_cast<BF16*>(data)[index] = to_bf16(value);
  }
}

// Keys of the clustered slots of one KV head, [count, head_dim].
std::vector<float> clustered_keys(const KvCacheView& kv, const BlockId* blocks, int head,
                                  const ClusterShape& shape) {
  std::vector<float> keys(static_cast<size_t>(shape.count) * static_cast<size_t>(kv.head_dim));
  for (int i = 0; i < shape.count; ++i) {
    const int slot = shape.first + i;
    const std::byte* tile = kv.k_tile(blocks[slot / kBlockTokens], head);
    for (int f = 0; f < kv.head_dim; ++f) {
      keys[int64_t{i} * kv.head_dim + f] =
          element(tile, kv.dtype, k_tile_index(slot % kBlockTokens, f, kv.dtype));
    }
  }
  return keys;
}

// Means of the rows of `keys` by label, [labels' number, d].
std::vector<float> means_by_label(const std::vector<float>& keys, int d,
                                  const std::vector<int32_t>& labels, int num_labels) {
  std::vector<double> sums(static_cast<size_t>(num_labels) * static_cast<size_t>(d), 0);
  std::vector<int64_t> counts(static_cast<size_t>(num_labels), 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    ++counts[labels[i]];
    for (int f = 0; f < d; ++f)
      sums[int64_t{labels[i]} * d + f] += keys[static_cast<int64_t>(i) * d + f];
  }
  std::vector<float> means(sums.size());
  for (size_t i = 0; i < sums.size(); ++i)
    means[i] =
        static_cast<float>(sums[i] / static_cast<double>(counts[i / static_cast<size_t>(d)]));
  return means;
}

// The two levels of one head: which cluster a key is in, and which coarse one a cluster.
struct Levels {
  std::vector<int32_t> fine, coarse;
};

// Renames clusters so that those of a coarse one lie side by side, by their first number in it.
void sort_clusters(Levels& levels) {
  const auto n = static_cast<int32_t>(levels.coarse.size());
  std::vector<int32_t> by_place(static_cast<size_t>(n));
  std::iota(by_place.begin(), by_place.end(), 0);
  std::ranges::stable_sort(by_place, {}, [&](int32_t c) { return levels.coarse[c]; });
  std::vector<int32_t> place(static_cast<size_t>(n));
  for (int32_t i = 0; i < n; ++i) place[by_place[i]] = i;
  for (int32_t& label : levels.fine) label = place[label];
  std::ranges::sort(levels.coarse);
}

void cluster_head(const KeyClusters& out, int32_t* order, const KvCacheView& kv,
                  const BlockId* blocks, int head, uint64_t seed, ThreadPool& pool) {
  const ClusterShape& shape = out.shape;
  const int d = kv.head_dim;
  const std::vector<float> keys = clustered_keys(kv, blocks, head, shape);
  Levels levels;
  levels.fine = cluster_directions(keys, d, shape.num_clusters, seed, pool).labels;
  const auto unsorted = means_by_label(keys, d, levels.fine, shape.num_clusters);
  levels.coarse = cluster_directions(unsorted, d, shape.num_coarse, seed, pool).labels;
  sort_clusters(levels);

  std::iota(order, order + shape.count, 0);
  std::stable_sort(order, order + shape.count,
                   [&](int32_t a, int32_t b) { return levels.fine[a] < levels.fine[b]; });
  for (int i = 0; i < shape.count; ++i) order[i] += shape.first;

  int32_t* begins = out.begins + int64_t{head} * (shape.num_clusters + 1);
  std::fill_n(begins, shape.num_clusters + 1, 0);
  for (const int32_t label : levels.fine) ++begins[label + 1];
  begins[0] = shape.first;
  std::partial_sum(begins, begins + shape.num_clusters + 1, begins);
  int32_t* coarse_begins = out.coarse_begins + int64_t{head} * (shape.num_coarse + 1);
  std::fill_n(coarse_begins, shape.num_coarse + 1, 0);
  for (const int32_t label : levels.coarse) ++coarse_begins[label + 1];
  std::partial_sum(coarse_begins, coarse_begins + shape.num_coarse + 1, coarse_begins);

  const auto write = [&](const TensorView& to, const std::vector<int32_t>& labels, int rows) {
    const auto means = means_by_label(keys, d, labels, rows);
    for (int c = 0; c < rows; ++c)
      for (int f = 0; f < d; ++f)
        store(to.row_ptr(int64_t{head} * rows + c), to.dtype, f, means[int64_t{c} * d + f]);
  };
  write(out.centroids, levels.fine, shape.num_clusters);
  std::vector<int32_t> coarse_of_key(levels.fine.size());
  for (size_t i = 0; i < coarse_of_key.size(); ++i)
    coarse_of_key[i] = levels.coarse[levels.fine[i]];
  write(out.coarse, coarse_of_key, shape.num_coarse);
}

}  // namespace

void CpuClusterOps::do_cluster_keys(const KeyClusters& out, int32_t* order, const KvCacheView& kv,
                                    const BlockId* blocks, uint64_t seed) {
  for (int head = 0; head < kv.num_kv_heads; ++head)
    cluster_head(out, order + int64_t{head} * out.shape.count, kv, blocks, head,
                 seed + static_cast<uint64_t>(head), pool_);
}

void CpuClusterOps::do_move_kv(const KvCacheView& kv, const BlockId* from, const BlockId* to,
                               const int32_t* order, const ClusterShape& shape) {
  pool_.parallel_for(kv.num_kv_heads, [&](int64_t head, int) {
    const int h = static_cast<int>(head);
    for (int slot = 0; slot < shape.length; ++slot) {
      const int i = slot - shape.first;
      const int old = i >= 0 && i < shape.count ? order[head * shape.count + i] : slot;
      const auto copy = [&](const std::byte* source, std::byte* target, int64_t a, int64_t b) {
        const auto size = static_cast<int64_t>(size_of(kv.dtype));
        std::memcpy(target + b * size, source + a * size, static_cast<size_t>(size));
      };
      const BlockId a = from[old / kBlockTokens], b = to[slot / kBlockTokens];
      for (int f = 0; f < kv.head_dim; ++f) {
        copy(kv.k_tile(a, h), kv.k_tile(b, h), k_tile_index(old % kBlockTokens, f, kv.dtype),
             k_tile_index(slot % kBlockTokens, f, kv.dtype));
        copy(kv.v_tile(a, h), kv.v_tile(b, h),
             v_tile_index(old % kBlockTokens, f, kv.head_dim, kv.dtype),
             v_tile_index(slot % kBlockTokens, f, kv.head_dim, kv.dtype));
      }
    }
  });
}

void CpuClusterOps::do_select_clusters(const SelectedRuns& out, TensorView q, int num_q_heads,
                                       float scale, const RaggedBatchView& batch, int num_kv_heads,
                                       std::span<const ClusterQuery> queries) {
  struct Job {
    QueryTile tile;
    std::vector<KvRun> runs;
  };
  std::vector<Job> jobs;
  for (int s = 0; s < batch.num_seqs; ++s) {
    for (int row = batch.q_indptr[s]; row < batch.q_indptr[s + 1]; row += kQueryTile) {
      const int rows = std::min(kQueryTile, batch.q_indptr[s + 1] - row);
      for (int head = 0; head < num_kv_heads; ++head) {
        Job& job = jobs.emplace_back();
        job.tile = {.query = &queries[s],
                    .q = q.row_range(row, rows),
                    .kv_head = head,
                    .group = num_q_heads / num_kv_heads,
                    .scale = scale,
                    .kv_len = batch.kv_lens[s]};
      }
    }
  }
  pool_.parallel_for(static_cast<int64_t>(jobs.size()), [&](int64_t i, int) {
    out.stats[i] = select_runs(jobs[i].tile, jobs[i].runs);
  });
  int32_t total = 0;
  out.run_indptr[0] = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    std::ranges::copy(jobs[i].runs, out.runs + total);
    total += static_cast<int32_t>(jobs[i].runs.size());
    out.run_indptr[i + 1] = total;
  }
}

void CpuClusterOps::do_add_log_scores(double* histogram, TensorView q, int num_q_heads, float scale,
                                      const KeyClusters& clusters, GroupScore group) {
  const auto num_kv_heads = static_cast<int>(clusters.centroids.rows / clusters.shape.num_clusters);
  const ClusterQuery query{.clusters = &clusters, .group = group};
  std::vector<std::vector<TokenScore>> scores(static_cast<size_t>(q.rows * num_kv_heads));
  pool_.parallel_for(static_cast<int64_t>(scores.size()), [&](int64_t i, int) {
    scores[i] = token_scores({.query = &query,
                              .q = q.row_range(i / num_kv_heads, 1),
                              .kv_head = static_cast<int>(i % num_kv_heads),
                              .group = num_q_heads / num_kv_heads,
                              .scale = scale});
  });
  for (const auto& of_tile : scores)
    for (const TokenScore& score : of_tile) histogram[score_bin(score.score)] += score.tokens;
}

}  // namespace sluice
