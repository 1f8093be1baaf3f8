// From a plan to the step's RaggedBatch.
#pragma once

#include "engine/step_plan.h"
#include "kernels/ragged_batch.h"

namespace sluice {

// Fills `batch` (its old content is dropped, its memory kept) with the plan's tokens in the order
// of its entries. Logit rows, in that order too: for each entry first its scored rows
// [score_first, score_last), then its last row if it samples. CHECKs that what an entry names
// exists. O(tokens + blocks).
void build_batch(const StepPlan& plan, RaggedBatch& batch);

}  // namespace sluice
