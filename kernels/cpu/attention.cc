// Attention of a step: the work list, and its spread over the threads.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <bit>

namespace sluice {
namespace {

// (token, head) rows of a tile at most, unless the heads of one KV head are more: its states and
// packed queries (64 KB at d = 64) then stay in the second-level cache beside K and V.
constexpr int kTileRowsMax = 128;

// (query, key) pairs times head_dim below which a fork costs more than it saves.
constexpr int64_t kForkWork = 128 * 1024;

size_t state_bytes(const AttendTask& task) {
  return static_cast<size_t>(task.rows() * attend_state_floats(task.head_dim)) * sizeof(float);
}
Rows rows_at(const TensorView& x, int64_t row, int64_t col) {
  return {static_cast<std::byte*>(x.data) +
              static_cast<size_t>(row * x.row_stride + col) * size_of(x.dtype),
          x.dtype, x.row_stride, x.cols};
}

// Tokens of a tile: a power of two, so that no tile straddles two query tiles of a run list.
int tile_tokens(int group) {
  return static_cast<int>(
      std::bit_floor(static_cast<unsigned>(std::clamp(kTileRowsMax / group, 1, kQueryTile))));
}

// KV heads of a tile of `tokens` tokens: as many as fit, since they lie side by side in a block,
// but one for tiles that fill the cache alone.
int tile_heads(int tokens, int group, int kv_heads) {
  return std::clamp(kTileRowsMax / (tokens * group), 1, std::min(kv_heads, kTaskHeadsMax));
}

// Where the segment begins that holds the first key that a row at `position` sees.
int first_segment(int position, int window) {
  return first_visible(position, window) / kSegmentKeys * kSegmentKeys;
}

}  // namespace

void CpuAttention::run(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                       const RaggedBatchView& batch, const KvCacheView& kv,
                       const KvRunsView* runs) {
  plan(out, q, num_q_heads, options, batch, kv, runs);
  const bool few_tiles = static_cast<int>(tiles_.size()) < 2 * workers_;
  if (workers_ == 1) {
    for (const Tile& tile : tiles_) run_tile(tile, threads_[0]);
  } else if (few_tiles && parts_.size() > tiles_.size()) {
    run_split();
  } else {
    pool_.parallel_for(static_cast<int64_t>(tiles_.size()),
                       [&](int64_t i, int thread) { run_tile(tiles_[i], threads_[thread]); });
  }
}

void CpuAttention::plan(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                        const RaggedBatchView& batch, const KvCacheView& kv,
                        const KvRunsView* runs) {
  tiles_.clear();
  parts_.clear();
  const int group = num_q_heads / kv.num_kv_heads;
  const int step = tile_tokens(group);
  int64_t jobs = 0, work = 0;
  for (int s = 0; s < batch.num_seqs; ++s) {
    const int64_t q_len = batch.q_indptr[s + 1] - batch.q_indptr[s];
    const int64_t keys = batch.kv_lens[s] -
                         first_segment(static_cast<int>(batch.kv_lens[s] - q_len), options.window);
    jobs += ceil_div(q_len, step) * ceil_div(keys, kSegmentKeys);
    work += q_len * keys * q.cols;
  }
  workers_ = work < kForkWork ? 1 : pool_.num_threads();
  // Few tokens and few keys leave few jobs: then heads are what threads share.
  const int heads_max = static_cast<int>(std::max<int64_t>(1, kv.num_kv_heads * jobs / workers_));
  for (int s = 0; s < batch.num_seqs; ++s) {
    const int first = batch.q_indptr[s];
    const int q_len = batch.q_indptr[s + 1] - first;
    for (int t = 0; t < q_len; t += step) {
      AttendTask task;
      task.tokens = std::min(step, q_len - t);
      task.group = group;
      task.head_dim = kv.head_dim;
      task.scale = options.scale;
      task.soft_cap = options.soft_cap;
      task.window = options.window;
      task.first_position = batch.kv_lens[s] - q_len + t;
      task.key_begin = first_segment(task.first_position, options.window);
      task.key_end = task.first_position + task.tokens;
      task.blocks = batch.blocks + batch.block_indptr[s];
      task.block_bytes = kv.block_bytes;
      task.tile_bytes = static_cast<int64_t>(kv.tile_bytes());
      task.types = {.panel = kv.dtype, .rows = activations_};
      const int heads = std::min(heads_max, tile_heads(task.tokens, group, kv.num_kv_heads));
      for (int h = 0; h < kv.num_kv_heads; h += heads) {
        task.kv_heads = std::min(heads, kv.num_kv_heads - h);
        task.q = rows_at(q, first + t, int64_t{h} * group * kv.head_dim);
        task.out = rows_at(out, first + t, int64_t{h} * group * kv.head_dim);
        task.k = kv.k_tile(0, h);
        task.v = kv.v_tile(0, h);
        if (runs != nullptr) {
          const int64_t tile = runs->tile_indptr[s] + t / kQueryTile;
          task.run_indptr = runs->run_indptr + tile * kv.num_kv_heads + h;
          task.runs = runs->runs;
        }
        tiles_.push_back({task, static_cast<int64_t>(parts_.size())});
        for (int key = task.key_begin; key < task.key_end; key += kSegmentKeys)
          parts_.push_back({static_cast<int64_t>(tiles_.size()) - 1, key});
      }
    }
  }
}

void CpuAttention::run_tile(const Tile& tile, Scratch& scratch) {
  AttendTask task = tile.task;
  const size_t states = state_bytes(task);
  std::byte* memory = scratch.get(2 * states + attend_scratch_bytes(task.rows(), task.head_dim));
  float* total = reinterpret_cast<float*>(memory);
  float* segment = reinterpret_cast<float*>(memory + states);
  std::byte* work = memory + 2 * states;
  const int first = tile.task.key_begin;
  for (int key = first; key < tile.task.key_end; key += kSegmentKeys) {
    task.key_begin = key;
    task.key_end = std::min(key + kSegmentKeys, tile.task.key_end);
    // Merging into a state without keys would give the segment's own bits: run it there at once.
    kernels_.attend(task, key == first ? total : segment, work);
    if (key > first) kernels_.attend_merge(total, segment, task.rows(), task.head_dim);
  }
  kernels_.attend_finish(task, total);
}

void CpuAttention::run_split() {
  size_t largest = 0;
  for (const Tile& tile : tiles_) largest = std::max(largest, state_bytes(tile.task));
  std::byte* partial = partial_.get(largest * parts_.size());
  const auto state_of_part = [&](int64_t part) {
    return reinterpret_cast<float*>(partial + largest * static_cast<size_t>(part));
  };
  pool_.parallel_for(static_cast<int64_t>(parts_.size()), [&](int64_t i, int thread) {
    AttendTask task = tiles_[parts_[i].tile].task;
    task.key_begin = parts_[i].key_begin;
    task.key_end = std::min(task.key_begin + kSegmentKeys, task.key_end);
    std::byte* work = threads_[thread].get(attend_scratch_bytes(task.rows(), task.head_dim));
    kernels_.attend(task, state_of_part(i), work);
  });
  for (size_t t = 0; t < tiles_.size(); ++t) {
    const AttendTask& task = tiles_[t].task;
    const int64_t first = tiles_[t].first_part;
    const int64_t last =
        t + 1 < tiles_.size() ? tiles_[t + 1].first_part : static_cast<int64_t>(parts_.size());
    for (int64_t part = first + 1; part < last; ++part) {
      kernels_.attend_merge(state_of_part(first), state_of_part(part), task.rows(), task.head_dim);
    }
    kernels_.attend_finish(task, state_of_part(first));
  }
}

}  // namespace sluice
