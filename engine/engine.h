// Engine: the loop. One thread turns requests into token events; engine/README.md is its contract.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/config.h"
#include "engine/engine_stats.h"
#include "engine/mask_workers.h"
#include "engine/prefill_governor.h"
#include "engine/request_queue.h"
#include "engine/runner/model_runner.h"
#include "engine/scheduler.h"
#include "kvcache/kv_cache_manager.h"

namespace sluice {

class Engine {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Clock = std::function<TimePoint()>;  // called from any thread

  // CHECKs config.validate(), which whoever reads the configuration has called before.
  Engine(const EngineConfig& config, std::unique_ptr<ModelRunner> runner,
         Clock clock = std::chrono::steady_clock::now);
  ~Engine();  // stop(kNow)
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // What no step could ever serve: prompt + max_tokens past the limits, a bad parameter.
  // Thread-safe.
  Status admit(const Request& request) const;
  // Thread-safe. admit() and then the queue. After kOk every choice gets exactly one event with a
  // finish.
  Status submit(RequestPtr request);
  // Thread-safe. Ends one choice or all; no-op for what is unknown or finished.
  void cancel(const std::string& id, int choice = kAllChoices);
  // Thread-safe. Before its next step the engine forgets every cached prefix that nobody holds.
  void reset_prefix_cache();

  void start();  // starts the engine thread
  enum class Stop { kDrain, kNow };
  // Returns when the thread has ended; running requests finish or are cancelled. Thread-safe, and
  // may be called again: kNow hurries a kDrain that another thread waits for.
  void stop(Stop how);
  // One turn of the loop on the calling thread, for tests and for tools without a thread. False:
  // nothing to do.
  bool step();

  EngineStats stats() const;  // thread-safe
  // CHECKs the scheduler's and the cache's invariants. On the thread that calls step(), for tests.
  void check_invariants() const { scheduler_.check_invariants(); }

 private:
  // A submitted request with choices that are not finished.
  struct Active {
    std::vector<SequencePtr> choices;
    int unfinished = 0;
    bool cancelled = false;  // a choice was
    bool failed = false;     // a choice has
  };
  struct InFlight {
    StepPlan plan;
    Ticket ticket;
    TimePoint launched;
    bool awaits_masks = false;  // launched and not sampled: of the newest step only
  };

  void loop();
  bool turn(std::chrono::milliseconds patience);
  bool run_turn(RequestQueue::Drained& inbox);
  bool idle() const { return active_.empty() && num_in_flight_ == 0; }

  void take_in(RequestQueue::Drained& inbox);
  void open(const RequestPtr& request);
  bool launch_next();
  void collect_oldest();
  void start_masks(const StepPlan& plan);
  void sample_newest();
  void judge_masks(const StepPlan& plan);
  void apply(const StepEntry& entry, StepOutput& output);
  void apply_sampled(const StepEntry& entry, StepOutput& output);

  void emit(Sequence& sequence, TokenEvent event);
  void finish_choice(const SequencePtr& sequence, TokenEvent event);
  void end_choice(const SequencePtr& sequence, FinishReason finish, const Status& why);
  void end_request(const std::string& id, FinishReason finish, const Status& why);
  void end_all(FinishReason finish, const Status& why);
  void fail_step(const StepPlan& plan, const char* what);
  void give_up(const RequestQueue::Drained& inbox, const char* what);
  void push_error(const Request& request, int choice, const Status& why) const;
  void refuse(const Request& request, const Status& why) const;
  static Status stopped_after_a_bug();
  void publish_stats();

  const EngineConfig config_;
  const std::unique_ptr<ModelRunner> runner_;
  const Clock clock_;

  RequestQueue queue_;
  std::atomic<bool> stop_now_ = false;
  std::atomic<bool> reset_prefix_cache_ = false;
  std::atomic<bool> failed_ = false;  // the state is suspect: nothing is accepted any more

  // Engine thread only.
  KvCacheManager kv_;
  Scheduler scheduler_;
  PrefillGovernor governor_;
  MaskWorkers masks_;
  std::unordered_map<std::string, Active> active_;
  std::vector<InFlight> in_flight_;  // [max_in_flight], a ring
  size_t oldest_ = 0;
  size_t num_in_flight_ = 0;
  uint64_t num_opened_ = 0;
  int failures_in_a_row_ = 0;
  bool queue_closed_ = false;
  TimePoint now_;           // of this turn, and of the step that it applies: the time of its events
  TimePoint last_collect_;  // end of the last step
  EngineStats counters_;

  mutable std::mutex stats_mutex_;
  EngineStats published_;    // guarded by stats_mutex_
  TimePoint last_progress_;  // guarded by stats_mutex_: a step ended, or work met an idle engine

  std::mutex thread_mutex_;  // guards thread_
  std::thread thread_;
};

}  // namespace sluice
