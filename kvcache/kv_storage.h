// KvStorage: the arena itself, one device allocation for all blocks. The only file of kvcache/ that
// sees a Backend.
//
//   arena:  | block 0 | block 1 | ... | block num_blocks - 1 |      block_bytes() each, KvLayout
#pragma once

#include "base/status.h"
#include "kernels/backend.h"
#include "kvcache/kv_layout.h"

namespace sluice {

// Move-only. Must not outlive the Backend that it was created from.
class KvStorage {
 public:
  // Allocates and zeroes num_blocks blocks, in stream order: at start-up only. Fails with
  // kInvalidArgument for a layout without bytes or no blocks, and with the backend's
  // kResourceExhausted when there is not enough memory.
  static Result<KvStorage> create(Backend& backend, const KvLayout& layout, int num_blocks);

  const KvLayout& layout() const { return layout_; }
  int num_blocks() const { return num_blocks_; }
  int64_t bytes() const { return static_cast<int64_t>(arena_.bytes()); }
  // The kernels' view of one layer, 0 ... layout().num_layers - 1. Borrowed.
  KvCacheView layer(int index) const;

 private:
  KvStorage(const KvLayout& layout, int num_blocks, Buffer arena)
      : layout_(layout), num_blocks_(num_blocks), arena_(std::move(arena)) {}

  KvLayout layout_;
  int num_blocks_ = 0;
  Buffer arena_;
};

}  // namespace sluice
