// StreamClients: many clients of a server's streams, in a process of their own, so that what they
// spend is not counted as the server's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace sluice {

class StreamClients {
 public:
  // Forks. The caller must have no other thread yet, and must not have used gRPC.
  static Result<StreamClients> start();
  StreamClients(StreamClients&& other) noexcept;
  StreamClients& operator=(StreamClients&&) = delete;
  ~StreamClients();  // ends the process

  // All of them ask for `prompt` at once and read to the end.
  struct Order {
    bool over_grpc = false;
    int port = 0;  // of 127.0.0.1
    int64_t streams = 1;
    int64_t output_len = 1;
  };
  struct Outcome {
    int64_t events = 0;    // server-sent events, or messages, with text
    int64_t failures = 0;  // streams that broke off, were refused or were short
  };
  // Blocks until the last one has ended. kUnavailable: the process is gone.
  Result<Outcome> run(const Order& order) const;

  // What they ask for: plain English, so that tokens are as long as they usually are.
  static std::string_view prompt();

 private:
  StreamClients(pid_t pid, int socket) : pid_(pid), socket_(socket) {}

  pid_t pid_;
  int socket_;
};

}  // namespace sluice
