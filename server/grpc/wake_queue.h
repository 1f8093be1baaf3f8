// WakeQueue: a few threads that run what other threads have woken. The engine thread only wakes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace sluice {

// Something that a WakeQueue runs. It stands in the queue once at most, so the queue is bounded by
// the number of these that live.
class Wakeable {
 public:
  virtual ~Wakeable() = default;
  // One of the queue's threads; never two at once for one queue entry, but a wake() that comes
  // while it runs has it run again, perhaps beside itself. Must not throw.
  virtual void run() = 0;

 private:
  friend class WakeQueue;
  std::atomic<bool> queued_ = false;
};

// Something to be run once.
class Task final : public Wakeable {
 public:
  explicit Task(std::function<void()> work) : work_(std::move(work)) {}
  void run() override { work_(); }

 private:
  const std::function<void()> work_;
};

class WakeQueue {
 public:
  explicit WakeQueue(int threads);
  ~WakeQueue();  // what still waits is not run
  WakeQueue(const WakeQueue&) = delete;
  WakeQueue& operator=(const WakeQueue&) = delete;

  // Any thread. Cheap, never blocks on what is run. After it, run() begins once more.
  void wake(std::shared_ptr<Wakeable> wakeable);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<Wakeable>> waiting_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace sluice
