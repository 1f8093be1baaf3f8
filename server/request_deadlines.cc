// Requests in the order of their deadlines.
#include "server/request_deadlines.h"

#include <utility>

namespace sluice {

RequestDeadlines::Ticket::Ticket(RequestDeadlines& deadlines, std::string id, TimePoint deadline)
    : deadlines_(deadlines), id_(std::move(id)) {
  const std::scoped_lock lock(deadlines_.mutex_);
  place_ = deadlines_.tickets_.emplace(deadline, this);
}

RequestDeadlines::Ticket::~Ticket() {
  const std::scoped_lock lock(deadlines_.mutex_);
  deadlines_.tickets_.erase(place_);
}

std::vector<std::string> RequestDeadlines::take_overdue(TimePoint now) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> ids;
  for (auto at = tickets_.begin(); at != tickets_.end() && at->first < now; ++at) {
    if (!at->second->passed_.exchange(true)) ids.push_back(at->second->id_);
  }
  return ids;
}

}  // namespace sluice
