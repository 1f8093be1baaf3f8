// EngineWatch: a thread that says now and then how the engine does, ends requests that take too
// long, and gives up on an engine that stands.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "engine/engine_stats.h"
#include "server/service.h"

namespace sluice {

struct EngineWatchOptions {
  std::chrono::milliseconds status_interval{10'000};  // between two lines; 0: none
  std::chrono::milliseconds give_up_after{600'000};   // without a step while work waits; 0: never
  std::chrono::milliseconds period{1'000};            // of looking
};

class EngineWatch {
 public:
  // `give_up` gets the state of an engine that has stood for too long, or has failed for good; it
  // is called once, on the watch's thread. `service` must outlive the watch.
  EngineWatch(Service& service, const EngineWatchOptions& options,
              std::function<void(const std::string& state)> give_up);
  ~EngineWatch();
  EngineWatch(const EngineWatch&) = delete;
  EngineWatch& operator=(const EngineWatch&) = delete;

 private:
  void watch();

  Service& service_;
  const EngineWatchOptions options_;
  const std::function<void(const std::string& state)> give_up_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;  // guarded by mutex_
  std::thread thread_;   // last: it reads all the others
};

// One line about the time between two snapshots; empty where there was no work.
std::string status_line(const EngineStats& before, const EngineStats& now, double seconds);
// All counters, for the log of a process that ends because of them.
std::string engine_state(const EngineStats& stats);

}  // namespace sluice
