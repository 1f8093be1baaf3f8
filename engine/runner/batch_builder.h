// From a plan to the step's RaggedBatch.
#pragma once

#include <unordered_map>

#include "engine/step_plan.h"
#include "kernels/ragged_batch.h"

namespace sluice {

// Where the step before samples: its index among that step's logit rows, by sequence.
using SampledRows = std::unordered_map<const Sequence*, int32_t>;

// Fills `batch` (its old content is dropped, its memory kept) with the plan's tokens in the order
// of its entries; a pending one as the pending_token of its row in `sampled`. Logit rows, in that
// order too: for each entry first its scored rows [score_first, score_last), then its last row if
// it samples. CHECKs that what an entry names exists. O(tokens + blocks).
void build_batch(const StepPlan& plan, const SampledRows& sampled, RaggedBatch& batch);

}  // namespace sluice
