// AttentionPolicy: which of a sequence's keys a step attends to. The attention kernel decides how.
//
//   side_state()  what the policy wants the cache to keep for it, once, before allocation
//   plan()        on the host, once a step
//   select()      on the device, once a layer: a run list, or null for all keys
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"

namespace sluice {

// Bytes that a policy keeps in the KV cache, without saying what they mean.
struct SideState {
  int64_t bytes_per_block = 0;
};

// One per runner; called by the engine thread only.
class AttentionPolicy {
 public:
  virtual ~AttentionPolicy() = default;
  virtual SideState side_state() const = 0;
  virtual void plan(const RaggedBatchView& batch) = 0;
  // `q` [tokens, q_width]: this layer's rotated queries. The view stays valid until the next call.
  virtual const KvRunsView* select(int layer, TensorView q, const RaggedBatchView& batch,
                                   const KvCacheView& kv) = 0;
};

// Every key up to the row's position: no side state, no plan, no run list.
class DenseAttention final : public AttentionPolicy {
 public:
  SideState side_state() const override { return {}; }
  void plan(const RaggedBatchView& /*batch*/) override {}
  const KvRunsView* select(int /*layer*/, TensorView /*q*/, const RaggedBatchView& /*batch*/,
                           const KvCacheView& /*kv*/) override {
    return nullptr;
  }
};

}  // namespace sluice
