// LiveCalls: the registry of running generations, for Cancel, the drain and the sweep of deadlines.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace sluice {

// One running generation. All functions may be called from any thread.
class LiveCall {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~LiveCall() = default;
  virtual const std::string& request_id() const = 0;
  // Ends it. False: it has ended already.
  virtual bool cancel() = 0;
  // Drops a client that has taken nothing since before `limit`.
  virtual void drop_if_stuck(TimePoint limit) = 0;
};

// Owns every call from add() to remove(). Thread-safe.
class LiveCalls {
 public:
  using TimePoint = LiveCall::TimePoint;

  explicit LiveCalls(int max_calls) : max_calls_(static_cast<size_t>(max_calls)) {}

  // kResourceExhausted when max_calls are live.
  Status add(const std::shared_ptr<LiveCall>& call);
  void remove(LiveCall* call);

  // Cancels all calls of that name and returns how many there were.
  int cancel(const std::string& request_id);
  size_t size() const;
  std::vector<std::shared_ptr<LiveCall>> all() const;
  // Returns when none is left, or at `limit`.
  void wait_until_none(TimePoint limit) const;

 private:
  const size_t max_calls_;
  mutable std::mutex mutex_;
  mutable std::condition_variable none_left_;
  std::unordered_map<LiveCall*, std::shared_ptr<LiveCall>> calls_;
};

}  // namespace sluice
