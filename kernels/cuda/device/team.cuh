// Team: the blocks of one cluster that share a row. Each owns a slice of the row's ids; what they
// learn is exchanged through distributed shared memory.
//
//   row      | slice of block 0 | slice of block 1 | ... |     8 blocks at most (the portable
//   limit) slots    every block has one slot per block in its own shared memory: share() fills all
//   of them
//
// Without clusters (before sm_90, or launched without) a team is one block.
#pragma once

#include <cooperative_groups.h>

#include "kernels/cuda/device/reduce.cuh"

namespace sluice::cuda {

inline constexpr int kMaxTeam = 8;

class Team {
 public:
  static constexpr int kSlotBytes = 64;  // of one block's value
  // Two sets: a block that is one exchange ahead must not overwrite what a slower one still reads.
  struct Slots {
    alignas(16) unsigned char bytes[2][kMaxTeam * kSlotBytes];
  };

  __device__ explicit Team(Slots* slots) : slots_(slots) {
#if __CUDA_ARCH__ >= 900
    const auto cluster = cooperative_groups::this_cluster();
    rank_ = static_cast<int>(cluster.block_rank());
    size_ = static_cast<int>(cluster.num_blocks());
#endif
  }

  __device__ int rank() const { return rank_; }
  __device__ int size() const { return size_; }

  // Element t of a block's value is that of its thread t < Count; returns every block's value, one
  // after the other in the order of rank, good until the next call but one. All threads call it.
  template <int Count, typename T>
  __device__ const T* share(T mine) {
    static_assert(Count * sizeof(T) <= kSlotBytes);
    T* slots = reinterpret_cast<T*>(slots_->bytes[turn_]);
    turn_ ^= 1;
    if (threadIdx.x < Count) {
      T* slot = slots + rank_ * Count + threadIdx.x;
#if __CUDA_ARCH__ >= 900
      const auto cluster = cooperative_groups::this_cluster();
      for (int other = 0; other < size_; ++other) *cluster.map_shared_rank(slot, other) = mine;
#else
      *slot = mine;
#endif
    }
#if __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().sync();
#else
    __syncthreads();
#endif
    return slots;
  }

  // Combines `value` of all threads of all blocks in a fixed order; every thread gets the result.
  template <typename T, typename Combine>
  __device__ T reduce(T value, Combine combine, T neutral) {
    return combine_blocks(block_reduce(value, combine, neutral), combine);
  }

  // The same of values that each block has combined already.
  template <typename T, typename Combine>
  __device__ T combine_blocks(T value, Combine combine) {
    const T* all = share<1>(value);
    value = all[0];
    for (int other = 1; other < size_; ++other) value = combine(value, all[other]);
    return value;
  }

 private:
  Slots* slots_;
  int rank_ = 0;
  int size_ = 1;
  int turn_ = 0;
};

}  // namespace sluice::cuda
