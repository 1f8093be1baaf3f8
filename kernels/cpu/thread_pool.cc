// state_ is | number of the job, 47 bits | open, 1 bit | threads inside, 16 bits |. A worker enters
// by adding one while the job is open, in one compare-and-swap with the job's number, so it can
// never enter a later job by mistake; the caller closes it and waits until nobody is inside.
#include "kernels/cpu/thread_pool.h"

#include "base/check.h"

namespace sluice {
namespace {

constexpr uint64_t kOpen = uint64_t{1} << 16;
constexpr uint64_t kInside = kOpen - 1;
constexpr uint64_t kJobUnit = kOpen << 1;

// Rounds of spinning before a worker sleeps (about 50 us: longer than the gap between two ops of a
// step), and before the caller yields its core to a worker that lost its own.
constexpr int kSpinsBeforeSleep = 2000;
constexpr int kSpinsBeforeYield = 2000;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  SLUICE_CHECK(num_threads >= 1 && static_cast<uint64_t>(num_threads) < kInside);
  for (int thread = 1; thread < num_threads; ++thread)
    workers_.emplace_back([this, thread] { worker_loop(thread); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const Job& job) {
  job_ = job;
  next_.store(0, std::memory_order_relaxed);
  state_.store(((state_.load(std::memory_order_relaxed) / kJobUnit) + 1) * kJobUnit | kOpen);
  // A worker counts itself a sleeper before it looks at state_ for the last time: one of the two
  // sees the other.
  if (sleepers_.load() > 0) {
    wake_.fetch_add(1);
    wake_.notify_all();
  }
  work_on(job, 0);
  state_.fetch_and(~kOpen);
  for (int spins = 0; (state_.load(std::memory_order_acquire) & kInside) != 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::work_on(const Job& job, int thread) {
  for (;;) {
    const int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= job.count) return;
    job.call(job.context, index, thread);
  }
}

void ThreadPool::worker_loop(int thread) {
  uint64_t seen = 0;  // number of the last job looked at, in kJobUnit
  while (!stop_.load(std::memory_order_relaxed)) {
    uint64_t state = wait_for_change(seen);
    seen = state / kJobUnit * kJobUnit;
    while ((state & kOpen) != 0 && state / kJobUnit * kJobUnit == seen) {
      if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
      work_on(job_, thread);
      state_.fetch_sub(1, std::memory_order_release);
      break;
    }
  }
}

uint64_t ThreadPool::wait_for_change(uint64_t seen) {
  const auto changed = [&](uint64_t state) { return state / kJobUnit * kJobUnit != seen; };
  for (int spins = 0; spins < kSpinsBeforeSleep; ++spins) {
    const uint64_t state = state_.load(std::memory_order_acquire);
    if (changed(state)) return state;
    pause_briefly();
  }
  sleepers_.fetch_add(1);
  for (;;) {
    const uint32_t word = wake_.load();
    const uint64_t state = state_.load();
    if (changed(state) || stop_.load()) {
      sleepers_.fetch_sub(1);
      return state;
    }
    wake_.wait(word);
  }
}

}  // namespace sluice
