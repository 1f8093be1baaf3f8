// Copies tiles of a run list into shared memory by the copy engine: the producers' side of
// decode.cu and prefill.cu.
#pragma once

#include "kernels/cuda/attention/run_reader.cuh"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/kv_tile.cuh"

namespace sluice::cuda {

// Slots [begin, end) of a list, and the blocks of its sequence.
struct ListedSlots {
  int begin, end;
  const BlockId* blocks;
};

// A tile of at most kSlots slots, of which each lane copies what is of its run: pieces of at most a
// block. All of the warp calls every function.
template <int kSlots>
class ListedTile {
 public:
  // Finds the blocks of the reader's window; the reader stays where it is.
  __device__ ListedTile(RunReader& reader, const ListedSlots& slots)
      : reader_(reader), slots_(slots) {
    find();
  }

  // keys[i] = the key in slot begin + i. The first window also writes where it has none.
  __device__ void store_keys(int* keys, bool first_window) const {
#pragma unroll
    for (int i = 0; i < kSlots; i += kWarp) {
      const int at = i + static_cast<int>(threadIdx.x % kWarp);  // the same lane in every window
      const int key = reader_.key_of(slots_.begin + at);
      const bool real = key != kNoKey && slots_.begin + at < slots_.end;
      if (real || first_window) keys[at] = real ? key : kNoKey;
    }
  }

  // To `to`, kPanels panels kPanelStride bytes apart, from the tile `tile` bytes into each block.
  template <int kPanels, int kPanelStride>
  __device__ void copy(uint8_t* to, const std::byte* tile, int64_t block_bytes,
                       uint64_t* full) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (rows_[i] == 0) continue;
#pragma unroll
      for (int panel = 0; panel < kPanels; ++panel) {
        bulk_copy(to + panel * kPanelStride + slot_[i] * kRowBytes,
                  tile + block_[i] * block_bytes + panel * kPanelBytes + row_[i] * kRowBytes,
                  rows_[i] * kRowBytes, full);
      }
    }
  }

  // Rows that this lane copies.
  __device__ int rows() const {
    int sum = 0;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) sum += rows_[i];
    return sum;
  }

  // Moves the reader on if the tile has slots after its window, else returns false.
  __device__ bool next_window() {
    if (reader_.slot_end() >= slots_.end || reader_.last()) return false;
    reader_.next();
    find();
    return true;
  }

 private:
  static constexpr int kPieces = kSlots / kBlockTokens + 1;
  static constexpr int kRowBytes = kPanelColumns * 2;

  __device__ void find() {
    int slot = max(reader_.slot(), slots_.begin);
    int left = max(min(reader_.slot() + reader_.length(), slots_.end) - slot, 0);
    int key = reader_.start() + slot - reader_.slot();
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      row_[i] = key % kBlockTokens;
      rows_[i] = min(left, kBlockTokens - row_[i]);
      slot_[i] = slot - slots_.begin;
      block_[i] = rows_[i] > 0 ? slots_.blocks[key / kBlockTokens] : 0;
      key += rows_[i];
      slot += rows_[i];
      left -= rows_[i];
    }
  }

  RunReader& reader_;
  ListedSlots slots_;
  BlockId block_[kPieces];
  int row_[kPieces], rows_[kPieces], slot_[kPieces];
};

// Zeroes `bytes`, a multiple of 16, with the first `threads` threads of the block.
__device__ __forceinline__ void fill_zero(uint8_t* to, int bytes, int threads) {
  for (int i = threadIdx.x * 16; i < bytes; i += threads * 16)
    *reinterpret_cast<uint4*>(to + i) = make_uint4(0, 0, 0, 0);
}

}  // namespace sluice::cuda
