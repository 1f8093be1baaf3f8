// ClientChannel: a connection to a server, plain or TLS, blocking.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace sluice {

struct HttpTarget {
  std::string host;
  int port = 0;
  std::chrono::seconds timeout{600};  // of one wait for bytes
  // Encrypted, but whoever answers is believed: for this machine's own server, whose certificate
  // seldom names the loopback address.
  bool tls = false;
};

// One thread.
class ClientChannel {
 public:
  virtual ~ClientChannel() = default;
  // False once the connection is lost, or nothing went for the target's timeout.
  virtual bool send_all(std::string_view bytes) = 0;
  // Waits for bytes; their number, or 0 or less at the end, after an error and after the timeout.
  virtual ssize_t receive(char* buffer, size_t size) = 0;
};

// Fails with kUnavailable, the address and the reason.
Result<std::unique_ptr<ClientChannel>> open_channel(const HttpTarget& target);

// kUnavailable, for something that went wrong with `target`.
Status channel_failure(const HttpTarget& target, const std::string& why);

}  // namespace sluice
