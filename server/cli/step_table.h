// StepTable: which kinds and sizes of steps a run took, and where its time went.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "engine/engine_stats.h"
#include "server/cli/report.h"

namespace sluice {

// Groups steps by what they computed (prompts, decodes, both) and by the power of two that holds
// their rows.
class StepTable {
 public:
  // To be told after every turn of the engine, none of which ends more than one step.
  void see(const EngineStats& stats);
  // A row for each group, in the list `steps`: how many there were, what they computed, mean ms,
  // seconds in all.
  void describe(Report& report) const;

 private:
  enum class Kind : uint8_t { kPrompts, kMixed, kDecodes };
  struct Group {
    int64_t steps = 0, decodes = 0, prompt_tokens = 0;
    double ms = 0;
  };

  int64_t num_seen_ = 0;
  std::map<std::pair<Kind, int64_t>, Group> groups_;
};

}  // namespace sluice
