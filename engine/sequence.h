// Sequence: the progress of one choice of one request. Engine thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/constraint.h"
#include "engine/request.h"
#include "kvcache/block_table.h"

namespace sluice {

enum class SequenceState : uint8_t {
  kFollowing,  // a choice that waits until an earlier one has computed their common prompt
  kWaiting,    // in the scheduler's queue; holds no blocks
  kRunning,    // has a seat; its table covers what is computed
  kFinished,   // its last event is out; a step in flight may still name it, and is ignored
};

// tokens = prompt, then every output token that is known. Each step in flight that samples for this
// sequence adds one whose id is not known yet: num_pending is 0 or 1 whenever a step is planned
// (that step may read it: StepEntry::last_is_pending), and one more once it is launched.
//
//   | computed (K and V in the cache, or being written by a launched step) | to compute |
//   0                                                            num_computed          num_tokens()
struct Sequence {
  RequestPtr request;
  int choice = 0;
  uint64_t order = 0;  // arrival number of the request: FCFS among equal priorities
  uint64_t seed = 0;

  // Progress; the scheduler's from here on.
  std::vector<TokenId> tokens;
  int num_pending = 0;  // 0 ... steps in flight
  int64_t num_computed = 0;
  BlockTable table;
  SequenceState state = SequenceState::kWaiting;
  int num_preemptions = 0;
  bool awaits_first_seat = false;  // counts in Scheduler::num_unstarted_requests()
  // kFollowing choices of the same request, to be forked from this one; theirs is its `leader`.
  std::vector<std::shared_ptr<Sequence>> followers;
  Sequence* leader = nullptr;
  int64_t cached_tokens = 0;  // prompt tokens found in the prefix cache when first admitted

  // Where its request has a grammar: made before its first token is sampled; the engine's.
  std::shared_ptr<Constraint> constraint;

  // What the client is told; the engine's. A preemption changes nothing here.
  bool started = false;                       // an event of it is out
  std::vector<TokenLogprob> prompt_logprobs;  // positions 1 ..., until the first event takes them
  std::chrono::steady_clock::time_point last_token_time;

  int64_t prompt_len() const { return static_cast<int64_t>(request->prompt.size()); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()) + num_pending; }
  int64_t num_output() const { return num_tokens() - prompt_len(); }
  // The first choice scores the prompt, until its first event takes the scores away.
  bool scores_prompt() const {
    return request->sampling.prompt_logprobs && choice == 0 && !started;
  }
};

using SequencePtr = std::shared_ptr<Sequence>;

}  // namespace sluice
