// OutputStream: a locked vector that is swapped out whole.
#include "engine/output_stream.h"

#include <utility>

namespace sluice {

void OutputStream::push(TokenEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  if (events_.size() > 1) return;
  arrived_.notify_one();
  if (notify_) notify_();
}

void OutputStream::set_notifier(std::function<void()> notify) {
  const std::lock_guard lock(mutex_);
  notify_ = std::move(notify);
  if (notify_ && !events_.empty()) notify_();
}

std::vector<TokenEvent> OutputStream::drain() {
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

std::vector<TokenEvent> OutputStream::wait(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  arrived_.wait_for(lock, limit, [this] { return !events_.empty(); });
  return std::exchange(events_, {});
}

}  // namespace sluice
