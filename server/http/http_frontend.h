// HttpFrontend: OpenAI's API over HTTP/1.1, in front of a Service. What the composition root needs.
//
//   Metrics metrics(model_name);
//   auto front = HttpFrontend::start(service, metrics, options);   // listening when it returns
//   ... front.value()->port() ...
//   front.value()->stop(std::chrono::seconds(30));                 // drain, then join
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/access.h"
#include "server/metrics.h"
#include "server/request_log.h"
#include "server/service.h"
#include "server/tls_files.h"

namespace sluice {

// Everything has a bound; these are the defaults of configs/server.yaml.
struct HttpOptions {
  std::string host = "127.0.0.1";                   // a numeric address, or "localhost"
  uint16_t port = 8000;                             // 0: an ephemeral one, see HttpFrontend::port()
  int threads = 2;                                  // read and write; as many more parse, tokenise
  int max_connections = 4096;                       // one more is answered 503 and closed
  size_t max_header_bytes = 16 * 1024;              // more: 431
  size_t max_body_bytes = 4 * 1024 * 1024;          // more: 413
  size_t max_pending_bytes = 64 * 1024;             // of one response, in the server; and SO_SNDBUF
  std::chrono::milliseconds read_timeout{30'000};   // a whole request; then 408
  std::chrono::milliseconds idle_timeout{75'000};   // between requests
  std::chrono::milliseconds write_timeout{30'000};  // a client that takes nothing is dropped
  int max_prompts = 256;                            // of one /v1/completions
  TlsFiles tls;
  std::vector<std::string> allowed_origins;  // web pages' that may ask; "*": any
  RequestLog* request_log = nullptr;         // borrowed; null: none
  std::shared_ptr<const AccessGate> access = std::make_shared<AccessGate>();  // to all but health
};

class HttpFrontend {
 public:
  // Binds, listens and starts the threads. `service` and `metrics` must outlive the front. Fails
  // with the address and the system's reason. The service may still be loading: it says so itself.
  static Result<std::unique_ptr<HttpFrontend>> start(Service& service, Metrics& metrics,
                                                     const HttpOptions& options);
  // Stops at once if stop() was not called.
  virtual ~HttpFrontend() = default;

  virtual uint16_t port() const = 0;
  virtual int num_connections() const = 0;
  // Reads the certificate and its key again, soon and for new connections; the log says how it
  // went. Without TLS nothing happens. Any thread, before stop().
  virtual void reload_tls() = 0;
  // Closes idle connections and lets running responses finish for up to `drain_limit`; meanwhile a
  // new connection is answered once (the service must refuse what is work). Then stops accepting,
  // cuts off the rest (their generations are cancelled) and joins the threads. Returns the number
  // cut off. Any thread but the front's own; a second call does nothing.
  virtual int stop(std::chrono::milliseconds drain_limit) = 0;
};

}  // namespace sluice
