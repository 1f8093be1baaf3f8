// Scheduler: which tokens of which sequences the next step computes. No thread, no clock, no
// device.
//
//   add -> waiting --(seat, blocks)--> running --(apply, remove)--> finished
//             ^                           |
//             +------- preempt -----------+   its blocks go, its known tokens stay
//
// There is no prefill phase and no decode phase: num_computed catches up with num_tokens, in chunks
// (the idea is vLLM's). Sequences rank by (priority, arrival, choice). One step:
//
//   windows  blocks that no token to come sees go back to the pool
//   memory   every running sequence, best rank first, gets blocks for all its known tokens; where
//            they run out, the running sequence of the last rank is preempted
//   decodes  running sequences that miss one token
//   chunks   running sequences that miss more, best rank first, within the prefill budget, which is
//            cut to whole tiles of rows and, where few tokens wait, to about half of them
//   waiting  best rank first, while there are seats, budget and blocks for all known tokens; the
//            first that does not fit ends the step, so nobody overtakes it
//
// The choices of a request with n > 1 follow the first one until it has computed their prompt, then
// share its full blocks by reference. engine/README.md holds the invariants.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "engine/step_plan.h"
#include "kvcache/kv_cache_manager.h"

namespace sluice {

// What one step may hold.
struct StepBudget {
  int max_tokens = 0;
  int max_prefill_tokens = 0;  // of these, tokens of chunks, in a step that has decodes too
  int min_prefill_tokens = 1;  // and so many, where as many wait
  int max_logprob_rows = 0;    // scored prompt rows
};

class Scheduler {
 public:
  struct Options {
    int max_num_seqs = 0;       // seats: running sequences
    int64_t max_model_len = 0;  // tokens of one sequence
    int window = 0;             // keys that a token sees, in every layer; 0: all before it
    int row_tile = 1;           // rows of a step that cost about as much as one: EngineConfig
  };
  // Borrows `kv`, which must outlive it.
  Scheduler(const Options& options, KvCacheManager& kv);

  // The choices of one request, new and in order; the first one leads, the others follow.
  void add(std::span<const SequencePtr> choices);

  // Fills `plan` (its old content is dropped, its memory reused). May be called while at most one
  // launched step is not yet applied. An empty plan: nothing can be computed now.
  void schedule(const StepBudget& budget, StepPlan& plan);
  // The plan runs: its tokens count as computed.
  void launched(const StepPlan& plan);
  // The entry's step is collected: appends its token, if it sampled one, and publishes the blocks
  // that it filled. Plans are applied in the order of their launch; entries of finished sequences
  // are left out.
  void apply(const StepEntry& entry, TokenId token);

  // Ends a sequence in any state but kFinished: it leaves its place and its blocks. Safe while
  // steps that name it are in flight, since whoever gets the blocks writes to them in a later step.
  void remove(const SequencePtr& sequence);

  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }
  int64_t num_waiting() const { return static_cast<int64_t>(waiting_.size()) + num_following_; }
  bool has_sequences() const { return num_running() + num_waiting() > 0; }
  // Requests none of whose choices has ever had a seat.
  int64_t num_unstarted_requests() const { return num_unstarted_; }

  struct Stats {
    int64_t preemptions = 0;
    int64_t prefix_query_tokens = 0;
    int64_t prefix_hit_tokens = 0;
  };
  const Stats& stats() const { return stats_; }
  // CHECKs every invariant of engine/README.md that concerns seats, queues and blocks. O(all).
  void check_invariants() const;

 private:
  struct ByRank {
    bool operator()(const SequencePtr& a, const SequencePtr& b) const { return before(*a, *b); }
  };
  static bool before(const Sequence& a, const Sequence& b);
  // What is left of a step's budget.
  struct Room {
    int tokens = 0;
    int prefill_tokens = 0;
    int logprob_rows = 0;
  };

  void seat_followers();
  void fork_into_seat(Sequence& leader, const SequencePtr& child);
  void hand_on_followers(Sequence& leader);
  void drop_passed_blocks();
  bool reserve_running();
  bool admit_first_waiting();
  void plan_chunk(const SequencePtr& sequence, Room& room, StepPlan& plan) const;
  void preempt_last();
  void take_seat(const SequencePtr& sequence);
  void leave_queue(const SequencePtr& sequence);
  bool has_free_seat() const {
    return running_.size() < static_cast<size_t>(options_.max_num_seqs);
  }
  int64_t missing_tokens(const Sequence& sequence) const;
  int prefill_room(const StepBudget& budget, int decodes) const;
  int64_t prompt_backlog(int64_t enough) const;

  Options options_;
  KvCacheManager& kv_;
  std::vector<SequencePtr> running_;  // best rank first
  std::set<SequencePtr, ByRank> waiting_;
  int64_t num_following_ = 0;
  int64_t num_unstarted_ = 0;
  Stats stats_;
};

}  // namespace sluice
