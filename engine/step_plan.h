// StepPlan and StepResult: what the scheduler asks of the runner, and what comes back. Values of
// one step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/output_stream.h"
#include "engine/sequence.h"

namespace sluice {

// One sequence's share of a step: compute tokens [first, first + num_new) of it.
struct StepEntry {
  std::shared_ptr<Sequence> sequence;
  int64_t first = 0;  // = num_computed when planned
  int num_new = 0;
  // The chunk reaches the last token: a next token is sampled from its last row. Never in a request
  // with max_tokens 0.
  bool samples = false;
  // It samples, under a mask: see ModelRunner::sample.
  bool masked = false;
  // The last token's id is what the step before samples for this sequence.
  bool last_is_pending = false;
  // Prompt positions scored from this chunk's rows: row i scores token i + 1, for i in
  // [score_first, score_last) counted in the sequence; equal when nothing is scored.
  int64_t score_first = 0;
  int64_t score_last = 0;
};

struct StepPlan {
  std::vector<StepEntry> entries;
  int64_t num_tokens() const {
    int64_t sum = 0;
    for (const StepEntry& entry : entries) sum += entry.num_new;
    return sum;
  }
  bool masked() const { return std::ranges::any_of(entries, &StepEntry::masked); }
};

// Results in the order of plan.entries.
struct StepOutput {
  TokenId token = -1;    // sampled token, if the entry samples; -1: its logits were not finite
  TokenLogprob logprob;  // filled if the request asks for logprobs
  std::vector<TokenLogprob> prompt_logprobs;  // one for each position in [score_first, score_last)
};

struct StepResult {
  std::vector<StepOutput> outputs;
};

}  // namespace sluice
