// EngineConfig: the bounds of the loop. Const after construction.
#pragma once

#include <cstdint>

#include "base/status.h"

namespace sluice {

struct EngineConfig {
  int vocab_size = 0;
  int64_t max_model_len = 0;          // prompt + output tokens of one choice
  int num_blocks = 0;                 // KV blocks in the arena
  int window = 0;                     // keys that a token sees, in every layer; 0: all before it
  int max_num_seqs = 256;             // sequences in one step
  int max_num_batched_tokens = 2048;  // tokens in one step
  int max_queued_requests = 1024;     // submitted and not yet running; more are refused
  int max_logprob_rows = 256;         // scored prompt rows in one step
  double decode_gap_ms = 50;          // while choices decode, a step is cut to take about this long
  int min_prefill_tokens = 32;  // and yet a waiting prompt gets this many tokens in every step
  int mask_threads = 2;         // beside the engine's, for answers that must have a form
  int row_tile = 1;             // BackendInfo::row_tile
  bool enable_prefix_caching = true;
  uint64_t seed = 0;  // requests without a seed draw theirs from this one, in order of arrival

  Status validate() const;
};

}  // namespace sluice
