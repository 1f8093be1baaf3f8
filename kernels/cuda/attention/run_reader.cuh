// Reads one run list, a warp together, as a sequence of slots: rows of shared memory, one key each.
//
//   keys   ...|5 6 7 8 9|......|3 4 5|....      (mod 8)
//   slots   5 6 7 8 9 | . . 3 4 5               (mod 8, "." is a gap: no key)
//
// A run takes `len` slots from the first free one that is congruent to its start mod 8, so that a
// key's row keeps the swizzle phase (kv_tile.cuh) that it has in its block and is copied as it is:
//   slot(run i) = sum of gap(j) over j <= i + sum of len(j) over j < i,
//   gap(j) = (start(j) - end(j - 1)) mod 8, end(-1) = 0.
// One run that starts at 0 has slot = key. Slots ascend with their keys.
#pragma once

#include "kernels/cuda/attention/attention.h"

namespace sluice::cuda {

inline constexpr int kNoKey = INT32_MAX;
inline constexpr int kWarp = 32;

// Groups of 32 runs between two checkpoints of a list.
__device__ __forceinline__ int checkpoint_stride(int num_runs) {
  return (num_runs + kWarp * kCheckpoints - 1) / (kWarp * kCheckpoints);
}

// A run's gap and its keys in `range`; all is 0 for runs that have none. A run that lies before the
// range counts as none, end(...) = 0, so that slots still begin near 0.
struct SlotSpan {
  int start = 0;
  int gap = 0;
  int length = 0;
  __device__ SlotSpan(KvRun run, int end_before, KeyRange range) {
    if (run.start >= range.end || run.start + run.len <= range.begin) return;
    start = max(run.start, range.begin);
    gap = (start - (end_before > range.begin ? end_before : 0)) & 7;
    length = min(run.start + run.len, range.end) - start;
  }
};

// A window of 32 runs, one a lane, that moves along the list. All of the warp calls every function.
class RunReader {
 public:
  // Keys outside `range` are not read.
  __device__ RunReader(const KvRun* runs, int num_runs, KeyRange range)
      : runs_(runs), num_runs_(num_runs), range_(range) {}

  // Moves to the window that holds `slot`, or else to the last one; lane i brings checkpoint i.
  __device__ void seek(int slot, int checkpoint) {
    int first = 0, slot_begin = 0, end_before = 0;
    if (slot > 0 && num_runs_ > kWarp) {
      const int group = static_cast<int>(threadIdx.x % kWarp) * checkpoint_stride(num_runs_);
      const bool passed = group * kWarp < num_runs_ && checkpoint <= slot;
      const int best = 31 - __clz(__ballot_sync(~0U, passed));  // the first is 0
      first = __shfl_sync(~0U, group, best) * kWarp;
      slot_begin = __shfl_sync(~0U, checkpoint, best);
      if (first > 0) end_before = runs_[first - 1].start + runs_[first - 1].len;
    }
    load(first, slot_begin, end_before);
    while (slot_end_ <= slot && !last()) next();
  }
  // True in the list's last window.
  __device__ bool last() const { return first_ + kWarp >= num_runs_; }
  __device__ void next() { load(first_ + kWarp, slot_end_, last_end_); }

  // This lane's run: keys [start, start + length) in slots [slot, slot + length).
  __device__ int start() const { return start_; }
  __device__ int length() const { return length_; }
  __device__ int slot() const { return slot_; }
  // The slot after the window's last.
  __device__ int slot_end() const { return slot_end_; }

  // The key in `slot`, which may differ between lanes; kNoKey where the window has none.
  __device__ int key_of(int slot) const {
    int owner = 0;  // the last lane whose run begins at `slot` or before
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2) {
      if (__shfl_sync(~0U, slot_, owner + step) <= slot) owner += step;
    }
    const int offset = slot - __shfl_sync(~0U, slot_, owner);
    const int start = __shfl_sync(~0U, start_, owner), length = __shfl_sync(~0U, length_, owner);
    return offset >= 0 && offset < length ? start + offset : kNoKey;
  }

 private:
  __device__ void load(int first, int slot_begin, int end_before) {
    const int lane = threadIdx.x % kWarp;
    first_ = first;
    const KvRun run = first + lane < num_runs_ ? runs_[first + lane] : KvRun{kNoKey, 0};
    const int end = run.start + run.len;
    const int before = __shfl_up_sync(~0U, end, 1);
    const SlotSpan span(run, lane == 0 ? end_before : before, range_);
    int slots = span.gap + span.length;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = __shfl_up_sync(~0U, slots, step);
      if (lane >= step) slots += other;
    }
    start_ = span.start;
    length_ = span.length;
    slot_ = slot_begin + slots - span.length;
    slot_end_ = __shfl_sync(~0U, slot_begin + slots, kWarp - 1);
    last_end_ = __shfl_sync(~0U, end, kWarp - 1);
  }

  const KvRun* runs_;
  int num_runs_;
  KeyRange range_;
  int first_ = 0;  // run of lane 0
  int start_ = 0, length_ = 0, slot_ = 0;
  int slot_end_ = 0, last_end_ = 0;
};

// The reader of an item's list, at its first slot. All of the warp.
__device__ __forceinline__ RunReader open_list(const AttendParams& p, const AttendItem& item) {
  const int begin = p.runs.run_indptr[item.list], end = p.runs.run_indptr[item.list + 1];
  const int checkpoint = p.lists.checkpoints[item.list * kCheckpoints + threadIdx.x % kWarp];
  RunReader reader(p.runs.runs + begin, end - begin, p.lists.list_keys[item.list]);
  reader.seek(item.block_begin * kBlockTokens, checkpoint);
  return reader;
}

}  // namespace sluice::cuda
