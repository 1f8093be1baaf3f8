// Which clusters of a context the queries of one tile attend to.
#pragma once

#include <vector>

#include "kernels/key_clusters.h"

namespace sluice {

// The queries of one (sequence, query tile, KV head).
struct QueryTile {
  const ClusterQuery* query = nullptr;
  TensorView q;  // the tile's rows, all heads
  int kv_head = 0;
  int group = 0;  // query heads of a KV head
  float scale = 1;
  int kv_len = 0;
};

// The softmax that each of `tokens` tokens of one cluster gets: s_i of ClusterOps::select_clusters.
struct TokenScore {
  float score = 0;
  float tokens = 0;
};

// Of every cluster of the tile's head, in order, with no coarse level.
std::vector<TokenScore> token_scores(const QueryTile& tile);

// Appends the tile's runs, neighbours joined.
SelectionStats select_runs(const QueryTile& tile, std::vector<KvRun>& runs);

// Bin of a score in a histogram of log scores.
int score_bin(float score);

}  // namespace sluice
