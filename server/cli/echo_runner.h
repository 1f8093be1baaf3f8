// EchoRunner: a ModelRunner that computes nothing, for the bench of what lies in front of the
// engine. Every answer repeats its prompt, over and over; steps begin a fixed time apart, as those
// of a device would.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>

#include "engine/runner/model_runner.h"

namespace sluice {

class EchoRunner final : public ModelRunner {
 public:
  using Clock = std::chrono::steady_clock;

  explicit EchoRunner(Clock::duration period) : period_(period) {}

  int max_in_flight() const override { return 1; }
  Ticket launch(const StepPlan& plan) override;
  void sample(const StepPlan& plan) override;  // throws: it cannot answer in a form
  StepResult collect(Ticket ticket) override;

  // What was spent from the first to the last step in which all of the watched sequences decode:
  // neither the prompts nor the ends of requests are in it.
  struct Window {
    int64_t steps = 0;
    double wall_s = 0;
    double process_cpu_s = 0;  // of all threads
    double engine_cpu_s = 0;   // of the thread that steps
  };
  // From now on, steps of `num_sequences` decodes count, from nought. Any thread.
  void watch(int num_sequences);
  Window watched() const;  // any thread

 private:
  struct Reading {
    double wall_s = 0;
    double process_cpu_s = 0;
    double engine_cpu_s = 0;
    static Reading now();
  };
  void observe(const StepPlan& plan);

  const Clock::duration period_;
  Clock::time_point last_launch_;
  std::deque<StepResult> results_;  // launched, not collected: one at most
  uint64_t num_launched_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  int num_watched_ = 0;
  int64_t num_seen_ = 0;  // steps of the window, the last one not yet over
  Reading first_, last_;
};

}  // namespace sluice
