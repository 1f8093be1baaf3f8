// HashRunner: a ModelRunner whose next token is a hash of the prefix as re-read through the block
// table.
//
//   slot[p] = hash(token[p], slot[0 ... p))      written where a real runner writes K and V of p
//   token   = hash(slot[0 ... kv_len))           every slot is read through the block table
//
// Under a mask, the hash picks among its tokens. With a window of w tokens, p reads slots
// (p - w ... p) and the token those of the last w.
//
// As K and V of deeper layers do, a slot depends on all that stands before it. A short kv_len, a
// slot off by one, a stale or leaked block, a prefix that is not the same prefix, a shared block
// written to, a token sampled mid-prompt: all of them change the output or break one of the checks,
// in microseconds and without a model.
#pragma once

#include <deque>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/runner/model_runner.h"

namespace sluice {

class HashRunner final : public ModelRunner {
 public:
  struct Options {
    int num_blocks = 0;
    int vocab_size = 1000;
    int max_in_flight = 1;
    int window = 0;  // 0: none
    // Limits of a step; a plan past them throws.
    int max_tokens = 1 << 20;
    int max_sequences = 1 << 20;
    int max_logprob_rows = 1 << 20;
    // Called with the plan in launch and with the step's number in collect; what they throw is
    // thrown. May be empty.
    std::function<void(const StepPlan&)> on_launch;
    std::function<void(uint64_t step)> on_collect;
    // Called with the plan in sample; may be empty and may throw.
    std::function<void(const StepPlan&)> on_sample;
    // Entries whose logits are not finite. May be empty.
    std::function<bool(const StepEntry&)> is_poisoned;
  };
  explicit HashRunner(Options options);

  int max_in_flight() const override { return options_.max_in_flight; }
  Ticket launch(const StepPlan& plan) override;
  void sample(const StepPlan& plan) override;
  StepResult collect(Ticket ticket) override;

  // What the runner answers after `prefix`: the specification, without any blocks. Greedy requests
  // ignore the seed.
  static TokenId next_token(std::span<const TokenId> prefix, bool greedy, uint64_t seed,
                            int vocab_size, int window = 0);
  // The ids of a mask, less those that min_tokens bans after `num_output` tokens.
  static std::vector<TokenId> allowed_ids(std::span<const uint32_t> mask, const Request& request,
                                          int64_t num_output);
  // next_token among these alone, which are not none.
  static TokenId next_token_of(std::span<const TokenId> prefix, bool greedy, uint64_t seed,
                               std::span<const TokenId> allowed, int window = 0);
  // The logprob it reports for `target` after `prefix`.
  static float logprob(std::span<const TokenId> prefix, TokenId target, int window = 0);

 private:
  void check_plan(const StepPlan& plan) const;
  void check_entry(const StepEntry& entry) const;
  void mark_writers(const StepPlan& plan);
  void check_readers(const StepPlan& plan) const;
  uint64_t& slot(const Sequence& sequence, int64_t position);
  // Of the slots that `position` sees, but for its own.
  uint64_t hash_before(const Sequence& sequence, int64_t position);
  TokenId input_token(const StepEntry& entry, int64_t position) const;
  StepOutput answer(const StepEntry& entry);
  void sample_entry(const StepEntry& entry, StepOutput& output);
  void sample_all(const StepPlan& plan);

  Options options_;
  std::vector<uint64_t> arena_;  // [num_blocks * kBlockTokens]
  // [num_blocks] who writes to the block in the step being launched: step and entry.
  std::vector<std::pair<uint64_t, size_t>> writers_;
  std::unordered_map<const Sequence*, TokenId> sampled_last_;  // by the step launched last
  std::deque<std::pair<uint64_t, StepResult>> in_flight_;      // [<= max_in_flight]
  std::unordered_map<const Sequence*, uint64_t> hashes_;  // of what the step launched last samples
  bool awaits_masks_ = false;                             // the step launched last does
  uint64_t num_launched_ = 0;
};

}  // namespace sluice
