// Offline runs: requests through the engine on the calling thread, without server or text.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace sluice {

// One request of an offline run: always one choice.
struct OfflineRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  std::vector<TokenId> eos_ids;
};

// What came of it.
struct Completion {
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;         // one a token, if asked for
  std::vector<TokenLogprob> prompt_logprobs;  // positions 1 ... prompt - 1, if asked for
  FinishReason finish = FinishReason::kNone;
  Status error;  // for FinishReason::kError
  int64_t cached_tokens = 0;
  // When it was handed to the engine, and when each token came out.
  std::chrono::steady_clock::time_point submitted;
  std::vector<std::chrono::steady_clock::time_point> token_times;
};

// Runs `requests` in order, at most `max_in_flight` of them inside the engine at a time, by
// stepping the engine on this thread; engine.start() must not have been called. `on_step`, if set,
// runs after each step with all completions so far, in the order of the requests. Fails when the
// engine refuses a request; a request that fails later says so in its completion.
Result<std::vector<Completion>> run_offline(
    Engine& engine, const std::vector<OfflineRequest>& requests, int max_in_flight,
    const std::function<void(const std::vector<Completion>&)>& on_step = {});

// OK, or why the first request that failed did.
Status first_error(const std::vector<Completion>& completions);

}  // namespace sluice
