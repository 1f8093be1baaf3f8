// The registry of connections.
#include "server/http/connections.h"

#include "base/log.h"
#include "base/text.h"

namespace sluice {

HttpReply Connections::answer(HttpRequest request) const {
  try {
    return handler_.handle(std::move(request));
  } catch (const std::exception& error) {
    log_error(str("http: a request failed: ", error.what()));
    return handler_.refuse(500, error.what());
  }
}

void Connections::add(std::shared_ptr<Connection> connection) {
  const std::scoped_lock lock(mutex_);
  Connection* key = connection.get();
  connections_.emplace(key, std::move(connection));
}

void Connections::remove(Connection* connection) {
  const std::scoped_lock lock(mutex_);
  connections_.erase(connection);
  if (connections_.empty()) none_left_.notify_all();
}

size_t Connections::size() const {
  const std::scoped_lock lock(mutex_);
  return connections_.size();
}

std::vector<std::shared_ptr<Connection>> Connections::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<Connection>> out;
  out.reserve(connections_.size());
  for (const auto& [key, connection] : connections_) out.push_back(connection);
  return out;
}

void Connections::wait_until_none() const {
  std::unique_lock lock(mutex_);
  none_left_.wait(lock, [this] { return connections_.empty(); });
}

void Connections::count_answering(int change) {
  if (change == 0) return;
  const std::scoped_lock lock(mutex_);
  num_answering_ += change;
  if (num_answering_ == 0) all_answered_.notify_all();
}

int Connections::num_answering() const {
  const std::scoped_lock lock(mutex_);
  return num_answering_;
}

void Connections::wait_until_answered(Connection::Clock::time_point limit) const {
  std::unique_lock lock(mutex_);
  all_answered_.wait_until(lock, limit, [this] { return num_answering_ == 0; });
}

void Connections::wait_until_none(Connection::Clock::time_point limit) const {
  std::unique_lock lock(mutex_);
  none_left_.wait_until(lock, limit, [this] { return connections_.empty(); });
}

}  // namespace sluice
