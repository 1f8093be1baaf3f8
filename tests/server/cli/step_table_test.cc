// The table of steps: what is grouped with what.
#include "server/cli/step_table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace sluice {
namespace {

TEST(StepTable, GroupsStepsByKindAndRows) {
  StepTable table;
  EngineStats stats;
  table.see(stats);  // no step ended yet
  const auto step = [&](int decodes, int prompt_tokens, double ms) {
    ++stats.steps;
    stats.last_step = {.decodes = decodes, .prompt_tokens = prompt_tokens, .ms = ms};
    table.see(stats);
    table.see(stats);  // a turn that ended none
  };
  step(0, 100, 8);
  step(3, 61, 2);
  step(3, 62, 4);
  step(4, 0, 1);
  step(3, 0, 2);
  Report report;
  table.describe(report);
  std::ostringstream out;
  report.print(out);
  EXPECT_EQ(out.str(),
            "steps\n"
            "  kind     rows_at_most  steps  decodes  prompt_tokens  ms_mean  total_s\n"
            "  prompts           128      1        0            100     8.00   0.0080\n"
            "  mixed              64      1        3             61     2.00   0.0020\n"
            "  mixed             128      1        3             62     4.00   0.0040\n"
            "  decodes             4      2        7              0     1.50   0.0030\n");
}

}  // namespace
}  // namespace sluice
