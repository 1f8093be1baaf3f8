// Attention of a step: which thread runs which rows against which keys. The arithmetic is isa/'s.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/tensor.h"

namespace sluice {

// Backend::attend on host memory. Owns the working memory of its threads. Not thread-safe.
//
// A step becomes tiles, (sequence, up to 64 consecutive rows, one or more KV heads), and a tile's
// keys become segments of kSegmentKeys. With enough tiles each is one job; with few (one long
// decode) each segment is, and a second round merges them in the order the first case would have:
// the same bits.
class CpuAttention {
 public:
  // `activations`: what q and the softmax are rounded to before they meet bf16 keys and values.
  CpuAttention(const KernelTable& kernels, ThreadPool& pool, DType activations)
      : kernels_(kernels),
        pool_(pool),
        activations_(activations),
        threads_(static_cast<size_t>(pool.num_threads())) {}

  void run(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
           const RaggedBatchView& batch, const KvCacheView& kv, const KvRunsView* runs);

 private:
  struct Tile {
    AttendTask task;         // its keys: all that any of its rows sees
    int64_t first_part = 0;  // of its segments in parts_
  };
  struct Part {
    int64_t tile;
    int key_begin;
  };

  void plan(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
            const RaggedBatchView& batch, const KvCacheView& kv, const KvRunsView* runs);
  void run_tile(const Tile& tile, Scratch& scratch);
  void run_split();

  const KernelTable& kernels_;
  ThreadPool& pool_;
  DType activations_;
  int workers_ = 1;  // threads that the step's work is worth
  std::vector<Tile> tiles_;
  std::vector<Part> parts_;
  std::vector<Scratch> threads_;
  Scratch partial_;  // states of parts_
};

}  // namespace sluice
