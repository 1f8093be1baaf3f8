// sigwait on one thread.
#include "server/cli/signals.h"

#include <pthread.h>

#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice {

SignalWatch::SignalWatch() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGHUP);
  SLUICE_CHECK_EQ(pthread_sigmask(SIG_BLOCK, &signals_, nullptr), 0);
  thread_ = std::thread([this] { watch(); });
}

SignalWatch::~SignalWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  // Wakes its sigwait, and nothing else. NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread)
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

int SignalWatch::wait() {
  std::unique_lock lock(mutex_);
  waiting_ = true;
  arrived_.wait(lock, [this] { return first_ != 0; });
  return first_;
}

void SignalWatch::set_hangup_handler(std::function<void()> handler) {
  const std::lock_guard lock(mutex_);
  on_hangup_ = std::move(handler);
}

void SignalWatch::watch() {
  while (true) {
    int signal = 0;
    sigwait(&signals_, &signal);
    const std::lock_guard lock(mutex_);
    if (ending_) return;
    if (signal == SIGHUP) {
      if (on_hangup_) on_hangup_();
      continue;
    }
    if (!waiting_ || first_ != 0) {
      log_warning(first_ == 0 ? "stopped before it was ready" : "stopped without waiting");
      std::_Exit(128 + signal);
    }
    first_ = signal;
    arrived_.notify_all();
  }
}

}  // namespace sluice
