// RequestQueue: the one thread-safe door into the engine. Any thread submits and cancels; the
// engine drains.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "engine/request.h"

namespace sluice {

inline constexpr int kAllChoices = -1;

class RequestQueue {
 public:
  explicit RequestQueue(size_t max_waiting) : max_waiting_(max_waiting) {}

  // kResourceExhausted when max_waiting requests are not yet running; kUnavailable after close().
  Status submit(RequestPtr request);
  // Ends one choice of a request, or all of them. No-op for an unknown or finished one. Never
  // fails, never blocks.
  void cancel(std::string id, int choice = kAllChoices);
  // Nothing is accepted from now on; what is inside is still served. Idempotent.
  void close();

  struct Cancellation {
    std::string id;
    int choice = kAllChoices;
  };
  struct Drained {
    std::vector<RequestPtr> submitted;
    std::vector<Cancellation> cancelled;  // to be applied after `submitted`
    bool closed = false;
  };
  // Engine thread: takes everything; waits up to `limit` while there is nothing.
  Drained drain(std::chrono::milliseconds limit);
  // Engine thread: how many requests are inside the engine and not yet running; they count for the
  // bound.
  void set_waiting(size_t count);

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  size_t max_waiting_;
  size_t waiting_ = 0;
  bool closed_ = false;
  Drained inbox_;
};

}  // namespace sluice
