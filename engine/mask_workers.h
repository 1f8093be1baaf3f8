// MaskWorkers: the threads that fill token masks while a step is computed.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/constraint.h"

namespace sluice {

// start() and wait() belong to one thread, the engine's. Its threads begin with the first mask, so
// an engine that never meets a grammar has none. Bounded by the caller: a mask a sequence of a
// step.
class MaskWorkers {
 public:
  // `num_threads` beside the one that waits, which helps; 0 or more.
  explicit MaskWorkers(int num_threads);
  ~MaskWorkers();
  MaskWorkers(const MaskWorkers&) = delete;
  MaskWorkers& operator=(const MaskWorkers&) = delete;

  // Fills soon; until wait() has returned, nobody else may touch `constraint`.
  void start(std::shared_ptr<Constraint> constraint);
  // Until everything started is filled.
  void wait();

 private:
  void work();
  // Fills the first of the queue, unlocked meanwhile.
  void fill_first(std::unique_lock<std::mutex>& lock);

  const int num_threads_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;                   // there is work, or the end
  std::condition_variable idle_;                   // nothing is being filled
  std::deque<std::shared_ptr<Constraint>> queue_;  // these are guarded by mutex_
  int num_filling_ = 0;
  bool ending_ = false;
};

}  // namespace sluice
