// RequestDeadlines: which running requests have taken longer than they may. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace sluice {

class RequestDeadlines {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // One request's place; destroying it takes the request out.
  class Ticket {
   public:
    Ticket(RequestDeadlines& deadlines, std::string id, TimePoint deadline);
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    bool passed() const { return passed_; }

   private:
    friend class RequestDeadlines;
    RequestDeadlines& deadlines_;
    const std::string id_;
    std::atomic<bool> passed_ = false;
    std::multimap<TimePoint, Ticket*>::iterator place_;
  };

  // The ids whose deadline is before `now`, each once; their tickets say passed() from now on.
  std::vector<std::string> take_overdue(TimePoint now);

 private:
  std::mutex mutex_;
  std::multimap<TimePoint, Ticket*> tickets_;  // of requests that live
};

}  // namespace sluice
