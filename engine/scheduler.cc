// Scheduler: seats, blocks and chunks.
#include "engine/scheduler.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "kernels/ragged_batch.h"

namespace sluice {
namespace {

// A new sequence leaves one block free for this many running ones, so that their growth in the next
// steps does not preempt it at once.
constexpr int64_t kRunningPerSpareBlock = 8;

// Beside decodes, the prompt tokens that wait take about so many steps, if a tile's free rows do
// not hold them all: the fewer wait, the less they hold up the decodes.
constexpr int64_t kBacklogSteps = 2;

// Prompt tokens whose blocks all choices of a request can share: full blocks, and never the last
// token, since each choice samples from it.
int64_t shareable_tokens(const Sequence& sequence) {
  return (sequence.prompt_len() - 1) / kBlockTokens * kBlockTokens;
}

bool can_be_forked(const Sequence& leader) {
  return leader.state == SequenceState::kRunning && leader.num_computed >= shareable_tokens(leader);
}

}  // namespace

Scheduler::Scheduler(const Options& options, KvCacheManager& kv) : options_(options), kv_(kv) {
  SLUICE_CHECK_GT(options.max_num_seqs, 0);
  SLUICE_CHECK_GT(options.max_model_len, 0);
  running_.reserve(static_cast<size_t>(options.max_num_seqs) + 1);
}

bool Scheduler::before(const Sequence& a, const Sequence& b) {
  return std::tuple(a.request->priority, a.order, a.choice) <
         std::tuple(b.request->priority, b.order, b.choice);
}

void Scheduler::add(std::span<const SequencePtr> choices) {
  SLUICE_CHECK(!choices.empty());
  const SequencePtr& leader = choices.front();
  for (const SequencePtr& follower : choices.subspan(1)) {
    follower->state = SequenceState::kFollowing;
    follower->leader = leader.get();
    leader->followers.push_back(follower);
  }
  num_following_ += static_cast<int64_t>(leader->followers.size());
  leader->state = SequenceState::kWaiting;
  leader->awaits_first_seat = true;
  ++num_unstarted_;
  SLUICE_CHECK(waiting_.insert(leader).second);
}

void Scheduler::schedule(const StepBudget& budget, StepPlan& plan) {
  plan.entries.clear();
  seat_followers();
  drop_passed_blocks();
  const bool preempted = reserve_running();

  Room room{
      .tokens = budget.max_tokens, .prefill_tokens = 0, .logprob_rows = budget.max_logprob_rows};
  for (const SequencePtr& sequence : running_) {
    if (missing_tokens(*sequence) == 1) plan_chunk(sequence, room, plan);
  }
  room.prefill_tokens = prefill_room(budget, static_cast<int>(plan.entries.size()));
  for (const SequencePtr& sequence : running_) {
    if (missing_tokens(*sequence) > 1) plan_chunk(sequence, room, plan);
  }
  // What was just preempted would take its blocks back, and its newest token may be in flight.
  if (preempted) return;
  while (room.tokens > 0 && room.prefill_tokens > 0 && !waiting_.empty() && has_free_seat()) {
    const SequencePtr first = *waiting_.begin();
    if (!admit_first_waiting()) break;
    plan_chunk(first, room, plan);
  }
}

// Prompt tokens for a step of `decodes` other rows. A product takes about as long for every number
// of rows that fills the same tiles: what fits into the tile of the decodes is nearly for nothing,
// and a step that ends just behind a tile pays for the next one whole.
int Scheduler::prefill_room(const StepBudget& budget, int decodes) const {
  if (decodes == 0) return budget.max_tokens;
  const int most = std::min(budget.max_prefill_tokens, budget.max_tokens - decodes);
  const int tile = options_.row_tile;
  if (tile == 1 || most <= 0) return most;
  int free_rows = tile - decodes % tile;
  if (free_rows < tile / 4) free_rows += tile;
  const int64_t backlog = prompt_backlog(kBacklogSteps * int64_t{most});
  const int64_t least = std::min<int64_t>(budget.min_prefill_tokens, backlog);
  const int64_t wanted =
      std::min(std::min<int64_t>(most, backlog),
               std::max({ceil_div(backlog, kBacklogSteps), int64_t{free_rows}, least}));
  const int64_t whole_tiles = (decodes + wanted) / tile * tile - decodes;
  return static_cast<int>(whole_tiles >= std::max(wanted / 2, least) ? whole_tiles : wanted);
}

// Tokens of prompts that could be planned now, counted until there are `enough`.
int64_t Scheduler::prompt_backlog(int64_t enough) const {
  int64_t backlog = 0;
  for (const SequencePtr& sequence : running_) {
    const int64_t missing = missing_tokens(*sequence);
    backlog += missing > 1 ? missing : 0;
  }
  int64_t seats = options_.max_num_seqs - num_running();
  for (auto next = waiting_.begin(); next != waiting_.end() && seats > 0 && backlog < enough;
       ++next, --seats) {
    backlog += (*next)->num_tokens();
  }
  return backlog;
}

// Tokens that the next step could compute. None when the one that ends the sequence is in flight.
int64_t Scheduler::missing_tokens(const Sequence& sequence) const {
  const int64_t limit = std::min(sequence.prompt_len() + sequence.request->sampling.max_tokens,
                                 options_.max_model_len);
  if (sequence.num_pending > 0 && sequence.num_tokens() >= limit) return 0;
  return sequence.num_tokens() - sequence.num_computed;
}

void Scheduler::plan_chunk(const SequencePtr& sequence, Room& room, StepPlan& plan) const {
  const int64_t missing = missing_tokens(*sequence);
  const int64_t room_tokens =
      missing > 1 ? std::min(room.tokens, room.prefill_tokens) : room.tokens;
  const int64_t first = sequence->num_computed;
  int64_t last = first + std::min(missing, room_tokens);
  int64_t score_first = first;
  int64_t score_last = first;
  if (sequence->scores_prompt()) {  // what was scored before a preemption is not scored again
    score_first = std::max(first, static_cast<int64_t>(sequence->prompt_logprobs.size()));
    const int64_t wanted = std::max(score_first, std::min(last, sequence->prompt_len() - 1));
    score_last = std::min(wanted, score_first + room.logprob_rows);
    if (score_last < wanted) last = score_last;
  }
  const int64_t num_new = last - first;
  if (num_new <= 0) return;

  StepEntry& entry = plan.entries.emplace_back();
  entry.sequence = sequence;
  entry.first = first;
  entry.num_new = static_cast<int>(num_new);
  entry.samples = num_new == missing && sequence->request->sampling.max_tokens > 0;
  entry.masked = entry.samples && sequence->request->grammar != nullptr;
  entry.last_is_pending = last > static_cast<int64_t>(sequence->tokens.size());
  entry.score_first = score_first;
  entry.score_last = score_last;
  room.tokens -= entry.num_new;
  room.prefill_tokens -= missing > 1 ? entry.num_new : 0;
  room.logprob_rows -= static_cast<int>(score_last - score_first);
}

// Gives back what no token from num_computed on has in its window; steps in flight may still read
// it, for which they need not hold it (engine/README.md). Followers are forked from the whole
// prompt.
void Scheduler::drop_passed_blocks() {
  if (options_.window == 0) return;
  for (const SequencePtr& sequence : running_) {
    if (!sequence->followers.empty()) continue;
    const auto next = static_cast<int32_t>(sequence->num_computed);
    kv_.drop_before(sequence->table, first_visible(next, options_.window));
  }
}

// Blocks for all known tokens of every running sequence. Whether that took a preemption.
bool Scheduler::reserve_running() {
  bool preempted = false;
  for (size_t i = 0; i < running_.size(); ++i) {
    const SequencePtr sequence = running_[i];
    if (missing_tokens(*sequence) == 0) continue;
    while (i < running_.size() && !kv_.reserve(sequence->table, sequence->num_tokens())) {
      preempt_last();
      preempted = true;
    }
  }
  return preempted;
}

void Scheduler::preempt_last() {
  // Alone, every admitted sequence fits into the arena.
  SLUICE_CHECK_GT(running_.size(), size_t{1});
  const SequencePtr sequence = std::move(running_.back());
  running_.pop_back();
  kv_.release(sequence->table);
  sequence->num_computed = 0;
  sequence->state = SequenceState::kWaiting;
  ++sequence->num_preemptions;
  ++stats_.preemptions;
  waiting_.insert(sequence);
}

// Gives the first waiting sequence a seat and blocks for all its known tokens, or changes nothing.
bool Scheduler::admit_first_waiting() {
  const SequencePtr sequence = *waiting_.begin();
  // Who was preempted with a token in flight cannot be back before that token is known.
  SLUICE_CHECK_EQ(sequence->num_pending, 0);
  const uint64_t salt = sequence->request->cache_salt;
  const bool look_up = !sequence->scores_prompt();  // scores need every row of the prompt
  const int64_t found = look_up ? kv_.match_prefix(sequence->tokens, salt, sequence->table) : 0;
  const int64_t wanted = ceil_div(sequence->num_tokens() - found, kBlockTokens);
  const int64_t spare = num_running() / kRunningPerSpareBlock;
  if (kv_.num_free_blocks() < wanted + spare ||
      !kv_.reserve(sequence->table, sequence->num_tokens())) {
    kv_.release(sequence->table);
    return false;
  }
  waiting_.erase(waiting_.begin());
  sequence->num_computed = found;
  if (sequence->num_preemptions == 0) {
    sequence->cached_tokens = found;
    stats_.prefix_query_tokens += look_up ? sequence->num_tokens() : 0;
    stats_.prefix_hit_tokens += found;
  }
  take_seat(sequence);
  return true;
}

// Followers whose leader has computed the common prompt take seats, unless somebody of a better
// rank waits for one.
void Scheduler::seat_followers() {
  if (num_following_ == 0) return;
  for (size_t i = 0; i < running_.size(); ++i) {
    const SequencePtr leader = running_[i];
    while (!leader->followers.empty() && can_be_forked(*leader) && has_free_seat()) {
      const SequencePtr child = leader->followers.front();
      if (!waiting_.empty() && before(**waiting_.begin(), *child)) return;
      leader->followers.erase(leader->followers.begin());
      fork_into_seat(*leader, child);
    }
  }
}

void Scheduler::fork_into_seat(Sequence& leader, const SequencePtr& child) {
  --num_following_;
  child->leader = nullptr;
  child->num_computed = kv_.fork(leader.table, shareable_tokens(leader), child->table);
  take_seat(child);
}

void Scheduler::take_seat(const SequencePtr& sequence) {
  sequence->state = SequenceState::kRunning;
  if (std::exchange(sequence->awaits_first_seat, false)) --num_unstarted_;
  running_.insert(std::ranges::upper_bound(running_, sequence, ByRank()), sequence);
}

void Scheduler::launched(const StepPlan& plan) {
  for (const StepEntry& entry : plan.entries) {
    Sequence& sequence = *entry.sequence;
    SLUICE_CHECK_EQ(sequence.num_computed, entry.first);
    sequence.num_computed += entry.num_new;
    sequence.num_pending += entry.samples ? 1 : 0;
  }
}

void Scheduler::apply(const StepEntry& entry, TokenId token) {
  Sequence& sequence = *entry.sequence;
  SLUICE_CHECK(sequence.state != SequenceState::kFinished);
  if (entry.samples) {
    --sequence.num_pending;
    SLUICE_CHECK_GE(sequence.num_pending, 0);
    sequence.tokens.push_back(token);
  }
  if (sequence.state != SequenceState::kRunning) return;  // preempted meanwhile
  kv_.publish(sequence.table, sequence.tokens, entry.first + entry.num_new,
              sequence.request->cache_salt);
}

void Scheduler::remove(const SequencePtr& sequence) {
  leave_queue(sequence);
  if (!sequence->followers.empty()) hand_on_followers(*sequence);
  if (std::exchange(sequence->awaits_first_seat, false)) --num_unstarted_;
  kv_.release(sequence->table);
  sequence->state = SequenceState::kFinished;
}

void Scheduler::leave_queue(const SequencePtr& sequence) {
  switch (sequence->state) {
    case SequenceState::kFollowing:
      SLUICE_CHECK_EQ(std::erase(sequence->leader->followers, sequence), size_t{1});
      sequence->leader = nullptr;
      --num_following_;
      return;
    case SequenceState::kWaiting:
      SLUICE_CHECK_EQ(waiting_.erase(sequence), size_t{1});
      return;
    case SequenceState::kRunning: {
      const auto seat = std::ranges::lower_bound(running_, sequence, ByRank());
      SLUICE_CHECK(seat != running_.end() && *seat == sequence);
      running_.erase(seat);
      return;
    }
    case SequenceState::kFinished:
      SLUICE_CHECK(sequence->state != SequenceState::kFinished);
  }
}

// The first follower takes over: the seat and the blocks of their prompt if they are computed, else
// the place in the queue. The leader has left its own place and still has its blocks.
void Scheduler::hand_on_followers(Sequence& leader) {
  std::vector<SequencePtr> heirs = std::exchange(leader.followers, {});
  const SequencePtr successor = heirs.front();
  heirs.erase(heirs.begin());
  for (const SequencePtr& heir : heirs) heir->leader = successor.get();
  successor->followers = std::move(heirs);
  successor->awaits_first_seat = std::exchange(leader.awaits_first_seat, false);
  if (can_be_forked(leader)) {
    fork_into_seat(leader, successor);
    return;
  }
  --num_following_;
  successor->leader = nullptr;
  successor->state = SequenceState::kWaiting;
  waiting_.insert(successor);
}

void Scheduler::check_invariants() const {
  std::vector<const BlockTable*> tables;
  int64_t following = 0;
  int64_t unstarted = 0;
  const auto check_one = [&](const Sequence& sequence) {
    following += static_cast<int64_t>(sequence.followers.size());
    unstarted += sequence.awaits_first_seat ? 1 : 0;
    SLUICE_CHECK_LE(sequence.num_computed, sequence.num_tokens());
    SLUICE_CHECK_LE(sequence.num_computed, sequence.table.capacity_tokens());
    for (const SequencePtr& follower : sequence.followers) {
      SLUICE_CHECK(follower->state == SequenceState::kFollowing);
      SLUICE_CHECK_EQ(follower->leader, &sequence);
      SLUICE_CHECK(follower->table.blocks.empty() && follower->followers.empty());
    }
    tables.push_back(&sequence.table);
  };
  SLUICE_CHECK_LE(num_running(), options_.max_num_seqs);
  for (size_t i = 0; i < running_.size(); ++i) {
    SLUICE_CHECK(running_[i]->state == SequenceState::kRunning);
    SLUICE_CHECK(i == 0 || before(*running_[i - 1], *running_[i]));
    check_one(*running_[i]);
  }
  for (const SequencePtr& sequence : waiting_) {
    SLUICE_CHECK(sequence->state == SequenceState::kWaiting);
    SLUICE_CHECK(sequence->table.blocks.empty() && sequence->num_computed == 0);
    check_one(*sequence);
  }
  SLUICE_CHECK_EQ(following, num_following_);
  SLUICE_CHECK_EQ(unstarted, num_unstarted_);
  kv_.check_invariants(tables);
}

}  // namespace sluice
