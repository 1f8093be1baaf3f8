// SignalWatch: SIGINT and SIGTERM, taken by a thread of its own instead of handlers.
#pragma once

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

namespace sluice {

// Make it before any other thread: it blocks both signals, and threads inherit that. Until wait()
// is called a signal ends the process at once, with status 128 + signal; and so does the second one
// after it.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // Returns the first signal that comes after the call began.
  int wait();

 private:
  void watch();

  sigset_t signals_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  bool waiting_ = false;  // these are guarded by mutex_
  bool ending_ = false;
  int first_ = 0;
  std::thread thread_;  // last: it reads all the others
};

}  // namespace sluice
