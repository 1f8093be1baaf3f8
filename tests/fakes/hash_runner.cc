// HashRunner: the checks of a plan, the arena, the hash.
#include "tests/fakes/hash_runner.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/mix.h"
#include "kernels/ragged_batch.h"

namespace sluice {
namespace {

// `hash` is that of the slots before.
uint64_t slot_of(uint64_t hash, TokenId token) {
  return mix64(hash + kGoldenGamma + static_cast<uint32_t>(token));
}

uint64_t extend(uint64_t hash, uint64_t slot) { return mix64(hash ^ slot) + slot; }

int64_t first_seen(int64_t position, int window) {
  return first_visible(static_cast<int32_t>(position), window);
}

uint64_t hash_of(std::span<const TokenId> prefix, int window) {
  uint64_t hash = 0;
  std::vector<uint64_t> slots;
  for (const TokenId token : prefix) {
    if (window > 0) {
      const auto position = static_cast<int64_t>(slots.size());
      hash = 0;
      for (int64_t p = first_seen(position, window); p < position; ++p)
        hash = extend(hash, slots[static_cast<size_t>(p)]);
    }
    slots.push_back(slot_of(hash, token));
    hash = extend(hash, slots.back());
  }
  return hash;
}

uint64_t draw_of(uint64_t hash, bool greedy, uint64_t seed) {
  return greedy ? mix64(hash) : mix64(hash ^ mix64(seed + 1));
}

TokenId token_of(uint64_t draw, int vocab_size) {
  return static_cast<TokenId>(draw % static_cast<uint64_t>(vocab_size));
}

TokenId token_of(uint64_t draw, std::span<const TokenId> allowed) {
  return allowed[draw % allowed.size()];
}

float logprob_of(uint64_t hash, TokenId target) {
  return -static_cast<float>(slot_of(hash, target) % 1024) / 64;
}

constexpr uint64_t kNeverWritten = 0xdeadbeef;

}  // namespace

HashRunner::HashRunner(Options options)
    : options_(std::move(options)),
      arena_(static_cast<size_t>(options_.num_blocks) * kBlockTokens, kNeverWritten),
      writers_(static_cast<size_t>(options_.num_blocks)) {}

TokenId HashRunner::next_token(std::span<const TokenId> prefix, bool greedy, uint64_t seed,
                               int vocab_size, int window) {
  return token_of(draw_of(hash_of(prefix, window), greedy, seed), vocab_size);
}

std::vector<TokenId> HashRunner::allowed_ids(std::span<const uint32_t> mask, const Request& request,
                                             int64_t num_output) {
  const SamplingParams& sampling = request.sampling;
  const auto listed = [](const std::vector<TokenId>& ids, TokenId id) {
    return std::ranges::find(ids, id) != ids.end();
  };
  std::vector<TokenId> allowed;
  for (size_t bit = 0; bit < mask.size() * 32; ++bit) {
    if ((mask[bit / 32] >> bit % 32 & 1) == 0) continue;
    const auto id = static_cast<TokenId>(bit);
    const bool ends = listed(sampling.stop_token_ids, id) ||
                      (!sampling.ignore_eos && listed(request.eos_ids, id));
    if (!ends || num_output >= sampling.min_tokens) allowed.push_back(id);
  }
  return allowed;
}

TokenId HashRunner::next_token_of(std::span<const TokenId> prefix, bool greedy, uint64_t seed,
                                  std::span<const TokenId> allowed, int window) {
  return token_of(draw_of(hash_of(prefix, window), greedy, seed), allowed);
}

float HashRunner::logprob(std::span<const TokenId> prefix, TokenId target, int window) {
  return logprob_of(hash_of(prefix, window), target);
}

Ticket HashRunner::launch(const StepPlan& plan) {
  if (options_.on_launch) options_.on_launch(plan);
  SLUICE_CHECK_LT(in_flight_.size(), static_cast<size_t>(options_.max_in_flight));
  SLUICE_CHECK(!awaits_masks_);
  ++num_launched_;
  check_plan(plan);
  mark_writers(plan);
  check_readers(plan);
  StepResult result;
  hashes_.clear();
  for (const StepEntry& entry : plan.entries) result.outputs.push_back(answer(entry));
  in_flight_.emplace_back(num_launched_, std::move(result));
  awaits_masks_ = plan.masked();
  if (!awaits_masks_) sample_all(plan);
  return {num_launched_};
}

void HashRunner::sample(const StepPlan& plan) {
  SLUICE_CHECK(std::exchange(awaits_masks_, false));
  SLUICE_CHECK_EQ(in_flight_.size(), size_t{1});  // the step before has been collected
  try {
    if (options_.on_sample) options_.on_sample(plan);
  } catch (...) {
    in_flight_.pop_back();
    throw;
  }
  sample_all(plan);
}

void HashRunner::sample_all(const StepPlan& plan) {
  StepResult& result = in_flight_.back().second;
  SLUICE_CHECK_EQ(result.outputs.size(), plan.entries.size());
  sampled_last_.clear();
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    if (!plan.entries[i].samples) continue;
    sample_entry(plan.entries[i], result.outputs[i]);
    sampled_last_[plan.entries[i].sequence.get()] = result.outputs[i].token;
  }
}

StepResult HashRunner::collect(Ticket ticket) {
  SLUICE_CHECK(!in_flight_.empty());
  SLUICE_CHECK_EQ(in_flight_.front().first, ticket.step);
  SLUICE_CHECK(!awaits_masks_ || in_flight_.size() > 1);
  StepResult result = std::move(in_flight_.front().second);
  in_flight_.pop_front();
  if (options_.on_collect) options_.on_collect(ticket.step);
  return result;
}

void HashRunner::check_plan(const StepPlan& plan) const {
  SLUICE_CHECK(!plan.entries.empty());
  SLUICE_CHECK_LE(plan.entries.size(), static_cast<size_t>(options_.max_sequences));
  SLUICE_CHECK_LE(plan.num_tokens(), options_.max_tokens);
  std::unordered_set<const Sequence*> seen;
  int64_t rows = 0;
  for (const StepEntry& entry : plan.entries) {
    SLUICE_CHECK(seen.insert(entry.sequence.get()).second);
    check_entry(entry);
    rows += entry.score_last - entry.score_first;
  }
  SLUICE_CHECK_LE(rows, options_.max_logprob_rows);
}

void HashRunner::check_entry(const StepEntry& entry) const {
  const Sequence& sequence = *entry.sequence;
  const int64_t last = entry.first + entry.num_new;
  SLUICE_CHECK(sequence.state == SequenceState::kRunning);
  SLUICE_CHECK_EQ(entry.first, sequence.num_computed);
  SLUICE_CHECK_GT(entry.num_new, 0);
  SLUICE_CHECK_LE(last, sequence.num_tokens());
  SLUICE_CHECK_LE(last, sequence.table.capacity_tokens());
  SLUICE_CHECK_LE(sequence.num_pending, 1);
  const std::vector<BlockId>& blocks = sequence.table.blocks;
  for (auto i = static_cast<size_t>(sequence.table.num_dropped); i < blocks.size(); ++i)
    SLUICE_CHECK(blocks[i] >= 0 && blocks[i] < options_.num_blocks);
  const int64_t max_tokens = sequence.request->sampling.max_tokens;
  const bool wants_tokens = max_tokens > 0;
  // The last token of an answer is never computed on.
  SLUICE_CHECK_LE(last, sequence.prompt_len() + std::max<int64_t>(max_tokens, 1) - 1);
  SLUICE_CHECK_EQ(entry.samples, last == sequence.num_tokens() && wants_tokens);
  SLUICE_CHECK_EQ(entry.last_is_pending, last > static_cast<int64_t>(sequence.tokens.size()));
  SLUICE_CHECK_LE(entry.score_first, entry.score_last);
  if (entry.score_first == entry.score_last) return;
  SLUICE_CHECK_GE(entry.score_first, entry.first);
  SLUICE_CHECK_LE(entry.score_last, std::min(last, sequence.prompt_len() - 1));
}

// A block is written to by one entry of a step only ...
void HashRunner::mark_writers(const StepPlan& plan) {
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const StepEntry& entry = plan.entries[i];
    const int64_t last = entry.first + entry.num_new;
    for (int64_t b = entry.first / kBlockTokens; b * kBlockTokens < last; ++b) {
      auto& writer =
          writers_[static_cast<size_t>(entry.sequence->table.blocks[static_cast<size_t>(b)])];
      SLUICE_CHECK_NE(writer.first, num_launched_);
      writer = {num_launched_, i};
    }
  }
}

// ... and read by nobody else.
void HashRunner::check_readers(const StepPlan& plan) const {
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    for (const BlockId block : plan.entries[i].sequence->table.blocks) {
      if (block == kNoBlock) continue;
      const auto& writer = writers_[static_cast<size_t>(block)];
      SLUICE_CHECK(writer.first != num_launched_ || writer.second == i);
    }
  }
}

uint64_t& HashRunner::slot(const Sequence& sequence, int64_t position) {
  const auto block = sequence.table.blocks[static_cast<size_t>(position / kBlockTokens)];
  SLUICE_CHECK_NE(block, kNoBlock);
  return arena_[static_cast<size_t>(int64_t{block} * kBlockTokens + position % kBlockTokens)];
}

TokenId HashRunner::input_token(const StepEntry& entry, int64_t position) const {
  const bool pending = entry.last_is_pending && position == entry.first + entry.num_new - 1;
  if (!pending) return entry.sequence->tokens.at(static_cast<size_t>(position));
  const auto sampled = sampled_last_.find(entry.sequence.get());
  SLUICE_CHECK(sampled != sampled_last_.end());
  return sampled->second;
}

uint64_t HashRunner::hash_before(const Sequence& sequence, int64_t position) {
  uint64_t hash = 0;
  for (int64_t p = first_seen(position, options_.window); p < position; ++p)
    hash = extend(hash, slot(sequence, p));
  return hash;
}

StepOutput HashRunner::answer(const StepEntry& entry) {
  const Sequence& sequence = *entry.sequence;
  const int64_t last = entry.first + entry.num_new;
  StepOutput output;
  uint64_t hash = hash_before(sequence, entry.first);
  for (int64_t position = entry.first; position < last; ++position) {
    if (options_.window > 0) hash = hash_before(sequence, position);
    uint64_t& value = slot(sequence, position);
    value = slot_of(hash, input_token(entry, position));
    hash = extend(hash, value);
    if (position < entry.score_first || position >= entry.score_last) continue;
    const TokenId target = sequence.tokens[static_cast<size_t>(position) + 1];
    output.prompt_logprobs.push_back({.logprob = logprob_of(hash, target), .rank = 1, .top = {}});
  }
  if (entry.samples) hashes_[&sequence] = hash;
  return output;
}

void HashRunner::sample_entry(const StepEntry& entry, StepOutput& output) {
  const Sequence& sequence = *entry.sequence;
  const SamplingParams& sampling = sequence.request->sampling;
  if (options_.is_poisoned && options_.is_poisoned(entry)) return;
  const uint64_t hash = hashes_.at(&sequence);
  const uint64_t draw = draw_of(hash, sampling.greedy(), sequence.seed);
  if (entry.masked && sequence.state != SequenceState::kFinished) {
    SLUICE_CHECK_EQ(sequence.constraint->position(), entry.first + entry.num_new);
    const int64_t num_output = entry.first + entry.num_new - sequence.prompt_len();
    const std::vector<TokenId> allowed =
        allowed_ids(sequence.constraint->mask(), *sequence.request, num_output);
    if (allowed.empty()) return;
    output.token = token_of(draw, allowed);
  } else {
    output.token = token_of(draw, options_.vocab_size);
  }
  if (sampling.logprobs) output.logprob = {logprob_of(hash, output.token), 1, {}};
}

}  // namespace sluice
