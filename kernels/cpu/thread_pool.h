// ThreadPool: fork and join in about a microsecond while the threads are awake. The caller works
// too and never waits for a thread that has not started on the job, so a busy machine slows a loop
// down by what its neighbours take, and no more.
//
//   caller   | publish job | index 0  3  4  7 | close | wait for those inside |
//   worker 1 spins, enters | index 1  5       | leaves
//   worker 2 asleep ...                         too late: the job is closed, nobody waits for it
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace sluice {

class ThreadPool {
 public:
  // `num_threads` counts the caller; 1 starts no thread.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(index, thread) for every index in [0, count), in any order, on thread numbers in
  // [0, num_threads()); returns when all are done. `body` must not throw nor call the pool. One
  // caller at a time.
  template <typename Body>
  void parallel_for(int64_t count, Body&& body) {
    if (workers_.empty() || count <= 1) {
      for (int64_t i = 0; i < count; ++i) body(i, 0);
      return;
    }
    run({[](void* context, int64_t index, int thread) {
           (*static_cast<std::remove_reference_t<Body>*>(context))(index, thread);
         },
         const_cast<void*>(static_cast<const void*>(&body)), count});
  }

 private:
  struct Job {
    void (*call)(void* context, int64_t index, int thread);
    void* context;
    int64_t count;
  };

  void run(const Job& job);
  void work_on(const Job& job, int thread);
  void worker_loop(int thread);
  // Waits, spinning first, until the state is not `seen`.
  uint64_t wait_for_change(uint64_t seen);

  std::vector<std::thread> workers_;
  Job job_{};                                   // written only while closed and empty
  alignas(64) std::atomic<uint64_t> state_{0};  // see thread_pool.cc
  alignas(64) std::atomic<int64_t> next_{0};    // index to take
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<uint32_t> wake_{0};  // futex word
  std::atomic<bool> stop_{false};
};

}  // namespace sluice
