// Counting steps.
#include "server/cli/step_table.h"

#include <array>
#include <bit>
#include <string>

#include "base/check.h"

namespace sluice {

void StepTable::see(const EngineStats& stats) {
  if (stats.steps == num_seen_) return;
  SLUICE_CHECK_EQ(stats.steps, num_seen_ + 1);
  ++num_seen_;
  const StepFigures& step = stats.last_step;
  const Kind kind = step.decodes == 0         ? Kind::kPrompts
                    : step.prompt_tokens == 0 ? Kind::kDecodes
                                              : Kind::kMixed;
  const auto rows = static_cast<uint64_t>(step.decodes + step.prompt_tokens);
  Group& group = groups_[{kind, static_cast<int64_t>(std::bit_ceil(rows))}];
  ++group.steps;
  group.decodes += step.decodes;
  group.prompt_tokens += step.prompt_tokens;
  group.ms += step.ms;
}

void StepTable::describe(Report& report) const {
  constexpr std::array<const char*, 3> kNames = {"prompts", "mixed", "decodes"};
  for (const auto& [key, group] : groups_) {
    const auto& [kind, most_rows] = key;
    report.add_row("steps", {{"kind", std::string(kNames.at(static_cast<size_t>(kind)))},
                             {"rows_at_most", most_rows},
                             {"steps", group.steps},
                             {"decodes", group.decodes},
                             {"prompt_tokens", group.prompt_tokens},
                             {"ms_mean", group.ms / static_cast<double>(group.steps)},
                             {"total_s", group.ms / 1e3}});
  }
}

}  // namespace sluice
