// EventLoop: one thread that reads and writes for its connections. A connection lives on one loop
// from its first byte to its last, so nothing that it does there needs a lock.
//
//   engine thread --wake--> [woken connections] --one post for all that wait--> loop: on_wake()
//   loop --work--> a worker: JSON, template, tokens --post--> loop
//
// What takes long is done by workers: else one client's long prompt would hold up the streams of
// all others on its loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "server/http/connections.h"

namespace sluice {

class EventLoop {
 public:
  // `workers` must live as long as work() may be called.
  explicit EventLoop(boost::asio::thread_pool& workers) : workers_(workers) {}
  ~EventLoop() { stop(); }
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void start();  // its thread
  void stop();   // at once, and joins the thread; not on the loop

  boost::asio::io_context& context() { return context_; }
  // Any thread: has connection->on_wake() run on the loop. Never blocks. A connection must stand
  // here once at most, which bounds the list by the number of connections.
  void wake(std::shared_ptr<Connection> connection);
  // Runs `task` on a worker. It must not throw.
  template <typename Task>
  void work(Task task) {
    boost::asio::post(workers_, std::move(task));
  }

 private:
  void run();
  void run_woken();

  boost::asio::thread_pool& workers_;
  boost::asio::io_context context_{1};  // one thread runs it
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Connection>> woken_;  // guarded by mutex_
};

}  // namespace sluice
