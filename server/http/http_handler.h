// The border between sockets and handlers: requests in, replies out, no Beast on either side.
//
//   HttpServer ---- HttpRequest ----> HttpHandler
//              <--- HttpResponse ----     at once, or
//              <--- PendingReply ----     by and by: the server pulls, the reply wakes it
//
// Pulling is what bounds a slow client: nothing is taken from a reply while the socket has not
// taken what was pulled before, so events wait where they are bounded already.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sluice {

struct HttpRequest {
  std::string method;  // as sent, such as "POST"
  std::string path;    // percent-decoded, without query
  std::string body;
  std::string content_type;   // these headers only; empty: absent
  std::string authorization;  // Anthropic's clients' x-api-key: KEY counts as "Bearer KEY"
  std::string request_id;     // x-request-id
  std::string origin;
  std::string traceparent;
};

struct HttpResponse {
  int code = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;  // further ones, free of line breaks
  std::string body;                                          // of a whole response
  bool streamed = false;  // the body comes by pull() and is sent chunk by chunk
};

// A response that is not there yet. All functions are called one at a time, by the connection's
// thread of the moment. Destroyed when the response is complete, and at once when the client has
// left: whatever works for it must then be cancelled.
class PendingReply {
 public:
  virtual ~PendingReply() = default;

  // Called once, first. `wake` may be called from any thread until the destructor has returned; it
  // is cheap, never blocks and has the functions below called again.
  virtual void start(std::function<void()> wake) = 0;
  // Fills *head once the response can begin; false: not yet.
  virtual bool head(HttpResponse* head) = 0;
  // Of a streamed response, after head(): appends what is ready, about `limit` bytes at most (one
  // event may go beyond it). False once nothing more will come.
  virtual bool pull(std::string* out, size_t limit) = 0;
};

using HttpReply = std::variant<HttpResponse, std::unique_ptr<PendingReply>>;

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Any of the server's threads, several at once: a worker for a request with a body, which may
  // take its time; else the connection's, which must not.
  virtual HttpReply handle(HttpRequest request) = 0;
  // The response for what never became a request: bad framing, a limit, a time-out, a bug.
  virtual HttpResponse refuse(int code, const std::string& why) = 0;
};

}  // namespace sluice
