// Plans without a scheduler.
#include "engine/runner/warm_up.h"

#include <algorithm>
#include <numeric>

#include "base/types.h"

namespace sluice {
namespace {

// Keys of a decode: enough for attention to divide them and to join the parts.
constexpr int64_t kContext = 2048;

// 1, 2, 4, ..., most.
std::vector<int64_t> sizes_up_to(int64_t most) {
  std::vector<int64_t> sizes;
  for (int64_t size = 1; size < most; size *= 2) sizes.push_back(size);
  sizes.push_back(most);
  return sizes;
}

// Tokens [first, last) of a sequence, and a token sampled from the last.
StepEntry entry_of(int64_t first, int64_t last) {
  auto request = std::make_shared<Request>();
  request->prompt.assign(static_cast<size_t>(last), 0);
  request->sampling.temperature = 0;
  auto sequence = std::make_shared<Sequence>();
  sequence->request = request;
  sequence->tokens = request->prompt;
  sequence->num_computed = first;
  sequence->state = SequenceState::kRunning;
  sequence->table.blocks.resize(static_cast<size_t>(ceil_div(last, kBlockTokens)));
  std::iota(sequence->table.blocks.begin(), sequence->table.blocks.end(), 0);
  return {.sequence = std::move(sequence),
          .first = first,
          .num_new = static_cast<int>(last - first),
          .samples = true};
}

}  // namespace

std::vector<StepPlan> warm_up_plans(const RunnerLimits& limits, int64_t max_model_len,
                                    int num_blocks) {
  const int64_t longest = std::min(max_model_len, int64_t{num_blocks} * kBlockTokens);
  const int64_t most_seqs = std::min(limits.max_num_seqs, limits.max_num_batched_tokens);
  std::vector<StepPlan> plans;
  for (const int64_t rows :
       sizes_up_to(std::min<int64_t>(limits.max_num_batched_tokens, most_seqs * longest))) {
    StepPlan& plan = plans.emplace_back();
    for (int64_t first = 0; first < rows; first += longest)
      plan.entries.push_back(entry_of(0, std::min(longest, rows - first)));
  }
  const int64_t context = std::min(kContext, longest);
  for (const int64_t rows : sizes_up_to(most_seqs)) {
    StepPlan& plan = plans.emplace_back();
    for (int64_t i = 0; i < rows; ++i) plan.entries.push_back(entry_of(context - 1, context));
  }
  return plans;
}

int warm_up(LocalRunner& runner, const RunnerLimits& limits, int64_t max_model_len,
            int num_blocks) {
  const std::vector<StepPlan> plans = warm_up_plans(limits, max_model_len, num_blocks);
  for (const StepPlan& plan : plans) runner.collect(runner.launch(plan));
  return static_cast<int>(plans.size());
}

}  // namespace sluice
