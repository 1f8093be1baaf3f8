// Connections: the registry of live connections, for the sweep of deadlines and for the drain.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "server/http/http_frontend.h"
#include "server/http/http_handler.h"

namespace sluice {

// A time that the sweep looks at: cheaper to move than a timer. Thread-safe.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  void set(Clock::duration limit) { at_ = (Clock::now() + limit).time_since_epoch().count(); }
  void clear() { at_ = kNever; }
  bool passed(Clock::time_point now) const { return now.time_since_epoch().count() > at_; }

 private:
  static constexpr Clock::rep kNever = std::numeric_limits<Clock::rep>::max();
  std::atomic<Clock::rep> at_ = kNever;
};

// One client's connection. All functions but on_wake() may be called from any thread; they only
// post.
class Connection {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~Connection() = default;
  virtual void start() = 0;
  virtual void drain() = 0;  // closes it if it is idle; else it closes itself after its response
  virtual void abort() = 0;
  virtual void on_wake() = 0;  // on its loop: looks at its reply again
  // Acts on a deadline that has passed at `now`.
  virtual void sweep(Clock::time_point now) = 0;
};

// Owns every connection from add() until it removes itself on closing. Thread-safe.
class Connections {
 public:
  Connections(HttpHandler& handler, const HttpOptions& options)
      : handler_(handler), options_(options) {}

  HttpHandler& handler() const { return handler_; }
  // The handler's reply; where it throws, a 500.
  HttpReply answer(HttpRequest request) const;
  const HttpOptions& options() const { return options_; }
  bool draining() const { return draining_; }
  void set_draining() { draining_ = true; }

  void add(std::shared_ptr<Connection> connection);
  void remove(Connection* connection);
  size_t size() const;
  std::vector<std::shared_ptr<Connection>> all() const;
  void wait_until_none() const;
  // As above, up to `limit`.
  void wait_until_none(Connection::Clock::time_point limit) const;

  // A connection has begun (1) or ended (-1) an answer; 0: neither.
  void count_answering(int change);
  int num_answering() const;
  // Returns when nobody is being answered, or at `limit`.
  void wait_until_answered(Connection::Clock::time_point limit) const;

 private:
  HttpHandler& handler_;
  const HttpOptions options_;
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_;
  mutable std::condition_variable none_left_, all_answered_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  int num_answering_ = 0;
};

}  // namespace sluice
