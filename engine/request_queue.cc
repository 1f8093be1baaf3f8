// RequestQueue: an inbox under one lock.
#include "engine/request_queue.h"

#include <utility>

#include "base/text.h"

namespace sluice {

Status RequestQueue::submit(RequestPtr request) {
  const std::lock_guard lock(mutex_);
  if (closed_) return {StatusCode::kUnavailable, "the server is shutting down; ask another one"};
  if (waiting_ + inbox_.submitted.size() >= max_waiting_) {
    return {StatusCode::kResourceExhausted,
            str(max_waiting_, " requests are waiting already, the limit (max_queued_requests); ",
                "try again later")};
  }
  inbox_.submitted.push_back(std::move(request));
  wake_.notify_one();
  return {};
}

void RequestQueue::cancel(std::string id, int choice) {
  const std::lock_guard lock(mutex_);
  inbox_.cancelled.push_back({std::move(id), choice});
  wake_.notify_one();
}

void RequestQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  wake_.notify_one();
}

RequestQueue::Drained RequestQueue::drain(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  if (limit.count() > 0) {
    wake_.wait_for(lock, limit, [this] {
      return closed_ || !inbox_.submitted.empty() || !inbox_.cancelled.empty();
    });
  }
  // What leaves here counts as waiting until set_waiting() knows better.
  waiting_ += inbox_.submitted.size();
  Drained drained = std::exchange(inbox_, {});
  drained.closed = closed_;
  return drained;
}

void RequestQueue::set_waiting(size_t count) {
  const std::lock_guard lock(mutex_);
  waiting_ = count;
}

}  // namespace sluice
