// The threads of a WakeQueue.
#include "server/grpc/wake_queue.h"

#include <utility>

namespace sluice {

WakeQueue::WakeQueue(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

WakeQueue::~WakeQueue() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  arrived_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WakeQueue::wake(std::shared_ptr<Wakeable> wakeable) {
  if (wakeable->queued_.exchange(true)) return;
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(wakeable));
  }
  arrived_.notify_one();
}

void WakeQueue::work() {
  while (true) {
    std::shared_ptr<Wakeable> next;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next->queued_ = false;  // before it looks at its state, so that no wake is lost
    next->run();
  }
}

}  // namespace sluice
