// The registry of running generations.
#include "server/grpc/live_calls.h"

#include "base/text.h"

namespace sluice {

Status LiveCalls::add(const std::shared_ptr<LiveCall>& call) {
  const std::scoped_lock lock(mutex_);
  if (calls_.size() >= max_calls_) {
    return {StatusCode::kResourceExhausted,
            str(max_calls_, " generations run or wait for their readers already; try again soon")};
  }
  calls_.emplace(call.get(), call);
  return {};
}

void LiveCalls::remove(LiveCall* call) {
  const std::scoped_lock lock(mutex_);
  calls_.erase(call);
  if (calls_.empty()) none_left_.notify_all();
}

int LiveCalls::cancel(const std::string& request_id) {
  int cancelled = 0;
  for (const std::shared_ptr<LiveCall>& call : all()) {
    if (call->request_id() == request_id && call->cancel()) ++cancelled;
  }
  return cancelled;
}

size_t LiveCalls::size() const {
  const std::scoped_lock lock(mutex_);
  return calls_.size();
}

std::vector<std::shared_ptr<LiveCall>> LiveCalls::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<LiveCall>> out;
  out.reserve(calls_.size());
  for (const auto& [key, call] : calls_) out.push_back(call);
  return out;
}

void LiveCalls::wait_until_none(TimePoint limit) const {
  std::unique_lock lock(mutex_);
  none_left_.wait_until(lock, limit, [this] { return calls_.empty(); });
}

}  // namespace sluice
