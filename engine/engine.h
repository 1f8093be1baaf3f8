// Engine: the loop. One thread turns requests into token events; engine/README.md is its contract.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "engine/config.h"
#include "engine/engine_stats.h"
#include "engine/request_queue.h"
#include "engine/runner/model_runner.h"
#include "engine/scheduler.h"

namespace sluice {

class Engine {
 public:
  Engine(const EngineConfig& config, std::unique_ptr<ModelRunner> runner);
  ~Engine();  // stop(kNow)

  // What no step could ever serve: prompt + max_tokens past the limits, a bad parameter.
  // Thread-safe.
  Status admit(const Request& request) const;
  // Thread-safe. admit() and then the queue.
  Status submit(RequestPtr request);
  void cancel(const std::string& id);

  void start();  // starts the engine thread
  enum class Stop { kDrain, kNow };
  void stop(
      Stop how);  // returns when the thread has ended; running requests finish or are cancelled
  // One turn of the loop on the calling thread, for tests and for tools without a thread. False:
  // nothing to do.
  bool step();

  EngineStats stats() const;  // thread-safe
};

}  // namespace sluice
