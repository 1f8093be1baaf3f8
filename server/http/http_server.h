// HttpServer: HTTP/1.1 connections over Boost.Beast and Asio, for one HttpHandler.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "server/http/http_frontend.h"
#include "server/http/http_handler.h"

namespace sluice {

class HttpServer {
 public:
  // Listening when it returns. `handler` must outlive the server.
  static Result<std::unique_ptr<HttpServer>> start(HttpHandler& handler,
                                                   const HttpOptions& options);
  ~HttpServer();  // stop(0)

  uint16_t port() const;
  int num_connections() const;
  void reload_tls();  // as HttpFrontend::reload_tls
  // As HttpFrontend::stop.
  int stop(std::chrono::milliseconds drain_limit);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
