// SignalWatch: SIGINT, SIGTERM and SIGHUP, taken by a thread of its own instead of handlers.
#pragma once

#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice {

// Make it before any other thread: it blocks the signals, and threads inherit that. Until wait() is
// called SIGINT and SIGTERM end the process at once, with status 128 + signal; and so does the
// second one after it.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // Returns the first SIGINT or SIGTERM that comes after the call began.
  int wait();
  // SIGHUP calls `handler` on the watch's thread; while there is none it is ignored. Waits for a
  // handler that is running. See HangupHandler.
  void set_hangup_handler(std::function<void()> handler);

 private:
  void watch();

  sigset_t signals_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  bool waiting_ = false;  // these are guarded by mutex_
  bool ending_ = false;
  int first_ = 0;
  std::function<void()> on_hangup_;
  std::thread thread_;  // last: it reads all the others
};

// A handler of SIGHUP for as long as it lives.
class HangupHandler {
 public:
  HangupHandler(SignalWatch& watch, std::function<void()> handler) : watch_(watch) {
    watch_.set_hangup_handler(std::move(handler));
  }
  ~HangupHandler() { watch_.set_hangup_handler({}); }
  HangupHandler(const HangupHandler&) = delete;
  HangupHandler& operator=(const HangupHandler&) = delete;

 private:
  SignalWatch& watch_;
};

}  // namespace sluice
