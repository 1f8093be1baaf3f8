// HttpClient: one HTTP/1.1 request over one connection, blocking, for the bench and the health
// check of a server. Not a general client: no redirects, no compression.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/cli/client_channel.h"

namespace sluice {

struct HttpAnswer {
  int code = 0;
  std::string body;  // empty if it went to on_body
};

// Sends `method path` with a JSON body (none if empty) and reads the whole answer. If `on_body` is
// set, a body of a 200 goes there, in pieces as they arrive, instead of into the answer. Fails with
// kUnavailable when the server cannot be reached, breaks off, or sends no HTTP.
Result<HttpAnswer> http_request(const HttpTarget& target, std::string_view method,
                                std::string_view path, std::string_view body,
                                const std::function<void(std::string_view)>& on_body = {});

// Splits a stream of server-sent events into their data lines: feed() calls back once a line
// "data: ...", across any borders of pieces.
class EventSplitter {
 public:
  explicit EventSplitter(std::function<void(std::string_view)> on_data)
      : on_data_(std::move(on_data)) {}
  void feed(std::string_view piece);

 private:
  std::function<void(std::string_view)> on_data_;
  std::string line_;
};

}  // namespace sluice
