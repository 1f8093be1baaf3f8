// Warm-up: steps that load and choose a device's kernels before the first request has to wait.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/runner/local_runner.h"
#include "engine/step_plan.h"

namespace sluice {

// Steps of 1, 2, 4, ... rows and of the largest size that `limits` allow: first as one prompt (or
// several, where it is longer than `max_model_len`), then as decodes behind a context. All their
// sequences share the cache's first blocks, of which there are `num_blocks`, and sample greedily.
std::vector<StepPlan> warm_up_plans(const RunnerLimits& limits, int64_t max_model_len,
                                    int num_blocks);

// Runs them. A device's driver loads a kernel when it is first launched, and a product that was not
// measured has its kernel chosen then. Overwrites the cache's first blocks: for a runner that has
// launched nothing. Returns the number of steps.
int warm_up(LocalRunner& runner, const RunnerLimits& limits, int64_t max_model_len, int num_blocks);

}  // namespace sluice
