// EchoRunner: the prompt again, at fixed times.
#include "server/cli/echo_runner.h"

#include <algorithm>
#include <ctime>
#include <thread>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

double seconds_of(clockid_t clock) {
  timespec time{};
  SLUICE_CHECK_EQ(clock_gettime(clock, &time), 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

Ticket EchoRunner::launch(const StepPlan& plan) {
  std::this_thread::sleep_until(last_launch_ + period_);
  last_launch_ = Clock::now();
  observe(plan);
  StepResult result;
  for (const StepEntry& entry : plan.entries) {
    StepOutput& output = result.outputs.emplace_back();
    const Sequence& sequence = *entry.sequence;
    if (!entry.samples) continue;
    const auto& prompt = sequence.request->prompt;
    output.token = prompt[static_cast<size_t>(sequence.num_output()) % prompt.size()];
  }
  results_.push_back(std::move(result));
  return {++num_launched_};
}

void EchoRunner::sample(const StepPlan&) {
  fail_check(__FILE__, __LINE__, "the bench's runner knows no grammars");
}

StepResult EchoRunner::collect(Ticket /*ticket*/) {
  SLUICE_CHECK(!results_.empty());
  StepResult result = std::move(results_.front());
  results_.pop_front();
  return result;
}

void EchoRunner::watch(int num_sequences) {
  const std::scoped_lock lock(mutex_);
  num_watched_ = num_sequences;
  num_seen_ = 0;
}

EchoRunner::Window EchoRunner::watched() const {
  const std::scoped_lock lock(mutex_);
  return {.steps = std::max<int64_t>(num_seen_ - 1, 0),
          .wall_s = last_.wall_s - first_.wall_s,
          .process_cpu_s = last_.process_cpu_s - first_.process_cpu_s,
          .engine_cpu_s = last_.engine_cpu_s - first_.engine_cpu_s};
}

// Of a request's first step there is no text on its way yet: decodes only.
void EchoRunner::observe(const StepPlan& plan) {
  const auto decodes = std::ranges::count_if(
      plan.entries, [](const StepEntry& entry) { return entry.sequence->num_output() > 0; });
  const std::scoped_lock lock(mutex_);
  if (num_watched_ == 0 || decodes != num_watched_) return;
  last_ = Reading::now();
  if (num_seen_++ == 0) first_ = last_;
}

EchoRunner::Reading EchoRunner::Reading::now() {
  return {.wall_s = seconds_of(CLOCK_MONOTONIC),
          .process_cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID),
          .engine_cpu_s = seconds_of(CLOCK_THREAD_CPUTIME_ID)};
}

}  // namespace sluice
