// Scores in the log domain, two levels of lookup, and the runs that follow.
#include "kernels/cpu/cluster_selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "kernels/cpu/key_clustering.h"

namespace sluice {
namespace {

constexpr float kAllClusters = -std::numeric_limits<float>::infinity();

// One head's tables.
struct HeadClusters {
  HeadClusters(const KeyClusters& clusters, int head)
      : shape(clusters.shape),
        begins(clusters.begins + int64_t{head} * (shape.num_clusters + 1)),
        coarse_begins(clusters.coarse_begins + int64_t{head} * (shape.num_coarse + 1)),
        centroids(
            clusters.centroids.row_range(int64_t{head} * shape.num_clusters, shape.num_clusters)),
        coarse(clusters.coarse.row_range(int64_t{head} * shape.num_coarse, shape.num_coarse)) {}

  int tokens(int cluster) const { return begins[cluster + 1] - begins[cluster]; }
  int coarse_tokens(int c) const { return begins[coarse_begins[c + 1]] - begins[coarse_begins[c]]; }

  const ClusterShape& shape;
  const int32_t* begins;
  const int32_t* coarse_begins;
  TensorView centroids, coarse;
};

// Centroids that share a softmax.
struct Candidates {
  std::vector<int> ids;       // clusters or coarse clusters
  std::vector<float> rows;    // [ids, head_dim]
  std::vector<float> tokens;  // [ids]

  void add(int id, const TensorView& centroids, int num_tokens) {
    ids.push_back(id);
    tokens.push_back(static_cast<float>(num_tokens));
    append_row(rows, centroids, id, 0, centroids.cols);
  }
  static void append_row(std::vector<float>& to, const TensorView& x, int64_t row, int64_t first,
                         int64_t count) {
    for (int64_t i = first; i < first + count; ++i)
      to.push_back(x.dtype == DType::kF32 ? x.row<float>(row)[i] : to_float(x.row<BF16>(row)[i]));
  }
};

Candidates all_coarse(const HeadClusters& head) {
  Candidates all;
  for (int c = 0; c < head.shape.num_coarse; ++c) all.add(c, head.coarse, head.coarse_tokens(c));
  return all;
}

// The clusters of coarse ones `open`.
Candidates clusters_of(const HeadClusters& head, std::span<const int> open) {
  Candidates all;
  for (const int c : open)
    for (int i = head.coarse_begins[c]; i < head.coarse_begins[c + 1]; ++i)
      all.add(i, head.centroids, head.tokens(i));
  return all;
}

void add_logits(std::vector<float>& logits, const std::vector<float>& q, float scale,
                const Candidates& to) {
  const auto d = static_cast<int>(q.size());
  for (size_t i = 0; i < to.ids.size(); ++i)
    logits.push_back(scale * dot(q.data(), to.rows.data() + static_cast<int64_t>(i) * d, d));
}

// log sum_i tokens[i] exp(logits[i]). The largest is taken out first, so nothing overflows.
float log_sum_exp(const std::vector<float>& logits, const Candidates& a, const Candidates& b) {
  const float most = *std::ranges::max_element(logits);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float tokens = i < a.ids.size() ? a.tokens[i] : b.tokens[i - a.ids.size()];
    sum += static_cast<double>(tokens) * std::exp(static_cast<double>(logits[i] - most));
  }
  return most + static_cast<float>(std::log(sum));
}

// s_i of each of `scored`, beside `rest` in one softmax.
std::vector<float> reduced_scores(const QueryTile& tile, const Candidates& scored,
                                  const Candidates& rest, int64_t head_dim) {
  const size_t n = scored.ids.size();
  std::vector<float> scores(n, 0), of_head(n), logits, q;
  for (int g = 0; g < tile.group; ++g) {
    std::ranges::fill(of_head, 0.0F);
    const int64_t first = (int64_t{tile.kv_head} * tile.group + g) * head_dim;
    for (int64_t t = 0; t < tile.q.rows; ++t) {
      q.clear();
      Candidates::append_row(q, tile.q, t, first, head_dim);
      logits.clear();
      add_logits(logits, q, tile.scale, scored);
      add_logits(logits, q, tile.scale, rest);
      const float lse = log_sum_exp(logits, scored, rest);
      for (size_t i = 0; i < n; ++i) of_head[i] += std::exp(logits[i] - lse);
    }
    const auto rows = static_cast<float>(tile.q.rows);
    for (size_t i = 0; i < n; ++i) {
      scores[i] = tile.query->group == GroupScore::kMax
                      ? std::max(scores[i], of_head[i] / rows)
                      : scores[i] + of_head[i] / rows / static_cast<float>(tile.group);
    }
  }
  return scores;
}

// Of `scored`, who scores above the threshold, and the best one anyhow.
std::vector<bool> above(const std::vector<float>& scores, float log_threshold) {
  const float threshold = std::exp(log_threshold);
  std::vector<bool> kept(scores.size());
  for (size_t i = 0; i < scores.size(); ++i)
    kept[i] = log_threshold == kAllClusters || scores[i] > threshold;
  kept[static_cast<size_t>(std::ranges::max_element(scores) - scores.begin())] = true;
  return kept;
}

void append_run(std::vector<KvRun>& runs, int begin, int end) {
  if (begin == end) return;
  if (!runs.empty() && runs.back().start + runs.back().len == begin) {
    runs.back().len += end - begin;
  } else {
    runs.push_back({begin, end - begin});
  }
}

// Which clusters are attended, ascending, or none where all are.
struct Choice {
  std::vector<int> clusters;
  float kept_tokens = 0;
  float skipped_mass = 0;
};

Choice choose(const QueryTile& tile, const HeadClusters& head) {
  Choice choice;
  Candidates rest;
  const Candidates coarse = all_coarse(head);
  std::vector<int> open = coarse.ids;
  if (tile.query->log_coarse_threshold != kAllClusters) {
    const auto scores = reduced_scores(tile, coarse, {}, head.coarse.cols);
    const auto kept = above(scores, tile.query->log_coarse_threshold);
    open.clear();
    for (const int c : coarse.ids) {
      if (kept[c]) {
        open.push_back(c);
        continue;
      }
      rest.add(c, head.coarse, head.coarse_tokens(c));
      choice.skipped_mass += coarse.tokens[c] * scores[c];
    }
  }
  const Candidates scored = clusters_of(head, open);
  const auto scores = reduced_scores(tile, scored, rest, head.centroids.cols);
  const auto kept = above(scores, tile.query->log_threshold);
  for (size_t i = 0; i < scores.size(); ++i) {
    if (kept[i]) {
      choice.clusters.push_back(scored.ids[i]);
      choice.kept_tokens += scored.tokens[i];
    } else {
      choice.skipped_mass += scored.tokens[i] * scores[i];
    }
  }
  return choice;
}

}  // namespace

std::vector<TokenScore> token_scores(const QueryTile& tile) {
  const HeadClusters head(*tile.query->clusters, tile.kv_head);
  const Candidates scored = clusters_of(head, all_coarse(head).ids);
  const auto scores = reduced_scores(tile, scored, {}, head.centroids.cols);
  std::vector<TokenScore> out;
  for (size_t i = 0; i < scores.size(); ++i) out.push_back({scores[i], scored.tokens[i]});
  return out;
}

int score_bin(float score) {
  const float bin = (std::log(score) - kLowestLogScore) * kScoreBins / -kLowestLogScore;
  return static_cast<int>(std::clamp(bin, 0.0F, static_cast<float>(kScoreBins - 1)));
}

SelectionStats select_runs(const QueryTile& tile, std::vector<KvRun>& runs) {
  const KeyClusters* clusters = tile.query->clusters;
  const auto all = [&](int tokens) -> SelectionStats {
    append_run(runs, 0, tile.kv_len);
    return {.kept = tokens, .skipped_mass = 0};
  };
  if (clusters == nullptr) return all(0);
  const ClusterShape& shape = clusters->shape;
  if (tile.query->log_threshold == kAllClusters) return all(shape.count);
  const HeadClusters head(*clusters, tile.kv_head);
  const Choice choice = choose(tile, head);
  if (choice.kept_tokens > tile.query->dense_above * static_cast<float>(shape.count))
    return all(shape.count);
  append_run(runs, 0, shape.first);
  for (const int c : choice.clusters) append_run(runs, head.begins[c], head.begins[c + 1]);
  append_run(runs, shape.first + shape.count, tile.kv_len);
  return {.kept = static_cast<int32_t>(choice.kept_tokens), .skipped_mass = choice.skipped_mass};
}

}  // namespace sluice
