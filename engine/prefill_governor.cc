// PrefillGovernor: the controller.
#include "engine/prefill_governor.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {
namespace {

// A step's time is noisy and a device runs a step behind: one observation moves the budget by these
// factors at most, relative to what that step used.
constexpr double kMaxGrowth = 1.5;
constexpr double kMaxShrink = 0.25;

}  // namespace

PrefillGovernor::PrefillGovernor(double gap_ms, int min_tokens, int max_tokens)
    : gap_ms_(gap_ms),
      min_tokens_(std::min(min_tokens, max_tokens)),
      max_tokens_(max_tokens),
      budget_(min_tokens_) {
  SLUICE_CHECK(gap_ms > 0 && min_tokens > 0 && max_tokens > 0);
}

void PrefillGovernor::observe(int decodes, int prefill_tokens, double step_ms) {
  if (prefill_tokens == 0 || step_ms <= 0) return;
  if (decodes == 0) {
    if (!steered_) move_to(std::max(budget_, prefill_tokens * gap_ms_ / step_ms));
    return;
  }
  const double factor = std::clamp(gap_ms_ / step_ms, kMaxShrink, kMaxGrowth);
  const double wanted = prefill_tokens * factor;
  // A fast step that did not use its budget says nothing against the budget.
  if (factor >= 1 && wanted < budget_) return;
  steered_ = true;
  move_to(wanted);
}

void PrefillGovernor::move_to(double tokens) {
  budget_ = std::clamp(tokens, static_cast<double>(min_tokens_), static_cast<double>(max_tokens_));
}

}  // namespace sluice
