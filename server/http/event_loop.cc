// The thread of a loop, and its list of woken connections.
#include "server/http/event_loop.h"

#include "base/log.h"
#include "base/text.h"

namespace sluice {
namespace {

namespace asio = boost::asio;

}  // namespace

void EventLoop::start() {
  thread_ = std::thread([this] { run(); });
}

void EventLoop::stop() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

void EventLoop::run() {
  const auto stay = asio::make_work_guard(context_);  // also while there is no connection
  while (true) {
    try {
      context_.run();
      return;
    } catch (const std::exception& error) {
      log_error(str("http: a connection failed: ", error.what()));
    }
  }
}

void EventLoop::wake(std::shared_ptr<Connection> connection) {
  {
    const std::scoped_lock lock(mutex_);
    woken_.push_back(std::move(connection));
    if (woken_.size() > 1) return;  // who came first has posted
  }
  asio::post(context_, [this] { run_woken(); });
}

void EventLoop::run_woken() {
  std::vector<std::shared_ptr<Connection>> woken;
  {
    const std::scoped_lock lock(mutex_);
    woken.swap(woken_);
  }
  for (const auto& connection : woken) {
    try {
      connection->on_wake();
    } catch (const std::exception& error) {
      log_error(str("http: a connection failed: ", error.what()));
      connection->abort();
    }
  }
}

}  // namespace sluice
