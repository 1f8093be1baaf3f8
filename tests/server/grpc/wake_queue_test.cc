// Wake-ups across threads: none is lost, none piles up.
#include "server/grpc/wake_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

namespace sluice {
namespace {

class Counter final : public Wakeable {
 public:
  void run() override {
    seen = asked.load();
    ++runs;
  }

  std::atomic<int> asked = 0;
  std::atomic<int> seen = 0;
  std::atomic<int> runs = 0;
};

TEST(WakeQueue, RunsAfterTheLastWakeWhateverTheThreadsDo) {
  constexpr int kWakes = 20'000;
  const auto counters = {std::make_shared<Counter>(), std::make_shared<Counter>()};
  {
    WakeQueue queue(2);
    std::vector<std::thread> wakers;
    for (const auto& counter : counters) {
      wakers.emplace_back([&queue, counter] {
        for (int i = 0; i < kWakes; ++i) {
          ++counter->asked;
          queue.wake(counter);
        }
      });
    }
    for (std::thread& waker : wakers) waker.join();
    for (const auto& counter : counters) {
      while (counter->seen != kWakes) std::this_thread::yield();  // a lost wake hangs here
    }
  }
  for (const auto& counter : counters) EXPECT_LE(counter->runs, kWakes);
}

class Blocker final : public Wakeable {
 public:
  void run() override {
    if (++runs == 1) began.set_value();
    go.get_future().wait();
  }
  std::promise<void> began, go;
  std::atomic<int> runs = 0;
};

TEST(WakeQueue, StandsInTheQueueOnce) {
  const auto blocker = std::make_shared<Blocker>();
  const auto counter = std::make_shared<Counter>();
  WakeQueue queue(1);
  queue.wake(blocker);
  blocker->began.get_future().wait();
  for (int i = 0; i < 100; ++i) queue.wake(counter);
  EXPECT_EQ(counter.use_count(), 2);  // ours and one in the queue
  blocker->go.set_value();
  while (counter->runs == 0) std::this_thread::yield();
  EXPECT_EQ(counter->runs, 1);
}

TEST(WakeQueue, RunsATask) {
  WakeQueue queue(1);
  std::promise<void> ran;
  queue.wake(std::make_shared<Task>([&] { ran.set_value(); }));
  ran.get_future().wait();
}

TEST(WakeQueue, LetsGoOfWhatStillWaitsAtItsEnd) {
  const auto counter = std::make_shared<Counter>();
  {
    WakeQueue queue(0);
    queue.wake(counter);
    EXPECT_EQ(counter.use_count(), 2);
  }
  EXPECT_EQ(counter.use_count(), 1);
  EXPECT_EQ(counter->runs, 0);
}

}  // namespace
}  // namespace sluice
