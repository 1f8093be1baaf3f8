// MaskWorkers: a queue, threads, and a caller who helps.
#include "engine/mask_workers.h"

#include <utility>

#include "base/check.h"

namespace sluice {

MaskWorkers::MaskWorkers(int num_threads) : num_threads_(num_threads) {
  SLUICE_CHECK_GE(num_threads, 0);
}

MaskWorkers::~MaskWorkers() {
  {
    const std::lock_guard lock(mutex_);
    queue_.clear();
    ending_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void MaskWorkers::start(std::shared_ptr<Constraint> constraint) {
  while (threads_.size() < static_cast<size_t>(num_threads_)) {
    threads_.emplace_back([this] { work(); });
  }
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(constraint));
  }
  wake_.notify_one();
}

void MaskWorkers::wait() {
  std::unique_lock lock(mutex_);
  while (!queue_.empty()) fill_first(lock);
  idle_.wait(lock, [this] { return num_filling_ == 0; });
}

void MaskWorkers::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || !queue_.empty(); });
    if (ending_) return;
    fill_first(lock);
  }
}

void MaskWorkers::fill_first(std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Constraint> constraint = std::move(queue_.front());
  queue_.pop_front();
  ++num_filling_;
  lock.unlock();
  constraint->fill();
  lock.lock();
  if (--num_filling_ == 0) idle_.notify_all();
}

}  // namespace sluice
