// OutputStream: the way out of the engine for one request. One of the two thread-safe ends.
//
// The engine thread pushes, one consumer pops. Its bound is the request's own token limit
// (n * max_tokens events and one finish a choice), so push never blocks and a slow client never
// holds up the loop. The notifier runs on the engine thread, under the stream's lock, when an empty
// stream gets an event: it must only wake somebody (post to an executor, notify a condition
// variable), never touch this stream and never throw.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace sluice {

struct TopLogprob {
  TokenId id = 0;
  float logprob = 0;
};

struct TokenLogprob {
  float logprob = 0;
  int rank = 0;                 // 1: it was the most likely one; 0: not asked for
  std::vector<TopLogprob> top;  // best first
};

enum class FinishReason : uint8_t {
  kNone,
  kStop,       // an end-of-sequence or stop id (not part of the text)
  kLength,     // max_tokens or the model's length
  kCancelled,  // by the client or by shutdown
  kError,      // TokenEvent::error says why
};

struct TokenEvent {
  int choice = 0;  // 0 ... n - 1
  // Absent in a finish without a token. The id that ends a choice is here too, in the event with
  // its finish: it counts as an output token and is not part of the text.
  std::optional<TokenId> token;
  std::optional<TokenLogprob> logprob;  // if asked for
  // Once, in the first event of choice 0: positions 1 ... prompt - 1.
  std::vector<TokenLogprob> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;  // set in a choice's last event
  std::optional<TokenId> stop_id;             // the id that ended it, for kStop
  Status error;                               // for kError
  // Prompt tokens found in the prefix cache, in the first event of choice 0; else 0.
  int64_t cached_tokens = 0;
  std::chrono::steady_clock::time_point time;  // when the engine made it
};

class OutputStream {
 public:
  // Engine thread.
  void push(TokenEvent event);
  // Any thread; replaces the notifier, null: none. Runs it at once (on the calling thread) if
  // events wait already. When this returns, the old notifier is not running and never will.
  void set_notifier(std::function<void()> notify);
  // The consumer: moves all waiting events out, in order. Never blocks.
  std::vector<TokenEvent> drain();
  // The consumer: like drain, but waits up to `limit` for at least one event.
  std::vector<TokenEvent> wait(std::chrono::milliseconds limit);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;  // for wait()
  std::vector<TokenEvent> events_;
  std::function<void()> notify_;
};

}  // namespace sluice
