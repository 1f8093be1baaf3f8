// Sequence: the progress of one choice of one request. Engine thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/request.h"
#include "kvcache/block_table.h"

namespace sluice {

enum class SequenceState : uint8_t { kWaiting, kRunning, kFinished };

// tokens = prompt, then every output token that is known. While a step that samples for this
// sequence is in flight, one more token exists whose id is not known yet: num_pending is 1 and the
// next step may read it.
//
//   | computed (K and V in the cache, or being written by a launched step) | to compute |
//   0                                                            num_computed          num_tokens()
struct Sequence {
  RequestPtr request;
  int choice = 0;
  std::vector<TokenId> tokens;
  int num_pending = 0;  // 0 or 1
  int64_t num_computed = 0;
  BlockTable table;
  SequenceState state = SequenceState::kWaiting;
  uint64_t seed = 0;
  int num_preemptions = 0;
  uint64_t order = 0;  // arrival number: FCFS among equal priorities

  int64_t prompt_len() const { return static_cast<int64_t>(request->prompt.size()); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()) + num_pending; }
  int64_t num_output() const { return num_tokens() - prompt_len(); }
};

}  // namespace sluice
