// EngineStats: what the engine counts, for metrics and health.
#pragma once

#include <cstdint>

#include "kvcache/kv_cache_stats.h"

namespace sluice {

// One step, from its launch or the end of the step before, whichever came later, to its end.
struct StepFigures {
  int decodes = 0;        // sequences that computed one token
  int prompt_tokens = 0;  // tokens of all others
  double ms = 0;
};

// A snapshot of counters for metrics and health; every field is a total since start or a current
// value.
struct EngineStats {
  int64_t num_running = 0, num_waiting = 0;
  int64_t steps = 0;
  StepFigures last_step;
  int64_t prompt_tokens = 0, generation_tokens = 0;  // computed prompt tokens; tokens sent out
  int64_t preemptions = 0;
  int64_t requests_finished = 0, requests_cancelled = 0, requests_failed = 0;
  double decode_gap_ms_max = 0;  // longest time between two tokens of one choice
  int64_t last_step_age_ms = 0;  // since a step ended, while work waits; else 0
  bool failed = false;  // the engine's state is suspect: it serves nothing any more, restart it
  KvCacheStats kv;
};

}  // namespace sluice
