// Attention of a step: the work list, and its spread over the threads.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <bit>

namespace sluice {
namespace {

// (token, head) rows of a tile at most, unless the heads of one KV head are more: its states and
// packed queries (64 KB at d = 64) then stay in the second-level cache beside K and V.
constexpr int kTileRowsMax = 128;

int64_t rows_of(const AttendTask& task) { return int64_t{task.tokens} * task.group; }
size_t state_bytes(const AttendTask& task) {
  return static_cast<size_t>(rows_of(task) * attend_state_floats(task.head_dim)) * sizeof(float);
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

}  // namespace

void CpuAttention::run(TensorView out, TensorView q, int num_q_heads, float scale,
                       const RaggedBatchView& batch, const KvCacheView& kv,
                       const KvRunsView* runs) {
  plan(out, q, num_q_heads, scale, batch, kv, runs);
  const bool few_tiles = static_cast<int>(tiles_.size()) < 2 * pool_.num_threads();
  if (few_tiles && pool_.num_threads() > 1 && parts_.size() > tiles_.size()) {
    run_split();
    return;
  }
  pool_.parallel_for(static_cast<int64_t>(tiles_.size()),
                     [&](int64_t i, int thread) { run_tile(tiles_[i], threads_[thread]); });
}

void CpuAttention::plan(TensorView out, TensorView q, int num_q_heads, float scale,
                        const RaggedBatchView& batch, const KvCacheView& kv,
                        const KvRunsView* runs) {
  tiles_.clear();
  parts_.clear();
  const int group = num_q_heads / kv.num_kv_heads;
  const int step = tile_tokens(group);
  for (int s = 0; s < batch.num_seqs; ++s) {
    const int first = batch.q_indptr[s];
    const int q_len = batch.q_indptr[s + 1] - first;
    for (int t = 0; t < q_len; t += step) {
      for (int h = 0; h < kv.num_kv_heads; ++h) {
        AttendTask task;
        task.q = rows_at(q, first + t, int64_t{h} * group * kv.head_dim);
        task.out = rows_at(out, first + t, int64_t{h} * group * kv.head_dim);
        task.tokens = std::min(step, q_len - t);
        task.group = group;
        task.head_dim = kv.head_dim;
        task.scale = scale;
        task.first_position = batch.kv_lens[s] - q_len + t;
        task.blocks = batch.blocks + batch.block_indptr[s];
        task.k = kv.k_tile(0, h);
        task.v = kv.v_tile(0, h);
        task.block_bytes = kv.block_bytes;
        task.kv_dtype = kv.dtype;
        task.key_end = task.first_position + task.tokens;
        if (runs != nullptr) {
          const int64_t tile = runs->tile_indptr[s] + t / kQueryTile;
          const int32_t* span = runs->run_indptr + tile * kv.num_kv_heads + h;
          task.runs = runs->runs + span[0];
          task.num_runs = span[1] - span[0];
        }
        tiles_.push_back({task, static_cast<int64_t>(parts_.size())});
        for (int key = 0; key < task.key_end; key += kSegmentKeys)
          parts_.push_back({static_cast<int64_t>(tiles_.size()) - 1, key});
      }
    }
  }
}

void CpuAttention::run_tile(const Tile& tile, Scratch& scratch) {
  AttendTask task = tile.task;
  const size_t states = state_bytes(task);
  std::byte* memory = scratch.get(2 * states + attend_scratch_bytes(rows_of(task), task.head_dim));
  float* total = reinterpret_cast<float*>(memory);
  float* segment = reinterpret_cast<float*>(memory + states);
  std::byte* work = memory + 2 * states;
  for (int key = 0; key < tile.task.key_end; key += kSegmentKeys) {
    task.key_begin = key;
    task.key_end = std::min(key + kSegmentKeys, tile.task.key_end);
    // Merging into a state without keys would give the segment's own bits: run it there at once.
    kernels_.attend(task, key == 0 ? total : segment, work);
    if (key > 0) kernels_.attend_merge(total, segment, rows_of(task), task.head_dim);
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
    std::byte* work = threads_[thread].get(attend_scratch_bytes(rows_of(task), task.head_dim));
    kernels_.attend(task, state_of_part(i), work);
  });
  for (size_t t = 0; t < tiles_.size(); ++t) {
    const AttendTask& task = tiles_[t].task;
    const int64_t first = tiles_[t].first_part;
    const int64_t last =
        t + 1 < tiles_.size() ? tiles_[t + 1].first_part : static_cast<int64_t>(parts_.size());
    for (int64_t part = first + 1; part < last; ++part) {
      kernels_.attend_merge(state_of_part(first), state_of_part(part), rows_of(task),
                            task.head_dim);
    }
    kernels_.attend_finish(task, state_of_part(first));
  }
}

}  // namespace sluice
