// From sequences to the rows of a SamplingBatch.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/sequence.h"
#include "kernels/sampling_batch.h"

namespace sluice {

// Remembers, for the sequences whose requests use penalties and for no other, how often each token
// occurred, so that a step costs O(new tokens) to count and O(distinct tokens) to report. Engine
// thread only.
class SamplingBuilder {
 public:
  // A row that samples the next token of `sequence`. `pending`: index of its newest token among the
  // ids that the step before samples, where the sequence does not have it yet; -1: it does.
  // `masked`: by its constraint, whose mask must live until the batch is read.
  void add_sample_row(const std::shared_ptr<Sequence>& sequence, int32_t pending, bool masked,
                      SamplingBatch& batch);
  // A row that reports the logprob of the prompt's token at `position` and samples nothing.
  void add_score_row(const Sequence& sequence, int64_t position, SamplingBatch& batch);
  // Forgets sequences that are finished or gone. Call once a step: O(sequences with penalties).
  void forget_finished();

  size_t num_histories() const { return histories_.size(); }

 private:
  // Distinct tokens in the order of their first occurrence.
  struct History {
    std::weak_ptr<const Sequence> sequence;  // whether the address still means the same sequence
    int64_t num_counted = 0;                 // tokens of the sequence that are in here
    std::vector<TokenId> ids;
    std::vector<int32_t> counts;                 // in the output; 0: only in the prompt
    std::unordered_map<TokenId, int32_t> index;  // id -> place in ids
  };
  History& updated_history(const std::shared_ptr<Sequence>& sequence);

  std::unordered_map<const Sequence*, History> histories_;
};

}  // namespace sluice
