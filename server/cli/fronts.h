// Fronts: the ports of a server, HTTP and gRPC, opened and drained together.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/access.h"
#include "server/config.h"
#include "server/grpc/grpc_frontend.h"
#include "server/http/http_frontend.h"
#include "server/request_log.h"

namespace sluice {

struct Fronts {
  std::unique_ptr<RequestLog> request_log;  // null: none; the ports use it
  std::shared_ptr<AccessGate> access;       // of both
  std::unique_ptr<HttpFrontend> http;
  std::unique_ptr<GrpcFrontend> grpc;  // null: --grpc-port 0
  bool tls = false;

  // "https://HOST:PORT, gRPC HOST:PORT", for people.
  std::string urls(const std::string& host) const;
  // Drains both at once for up to `limit`; the number of answers that were cut off.
  int stop(std::chrono::milliseconds limit) const;
};

// Opens what `config` names; requests are refused until the service is opened. `service` and
// `metrics` must outlive the fronts. Failures name the option or the port.
Result<Fronts> open_fronts(Service& service, Metrics& metrics, const ServerConfig& config);

// The keys of --api-key and --api-key-file. An empty key, or one that no header can carry, is
// refused, and so is a file without keys.
Result<ApiKeys> read_api_keys(const ServerConfig& config);

}  // namespace sluice
