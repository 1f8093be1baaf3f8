// GrpcFrontend: sluice.v1.Inference, health and reflection over gRPC, in front of a Service. What
// the composition root needs; no gRPC header on this side.
//
//   auto front = GrpcFrontend::start(service, metrics, options);   // listening when it returns
//   ... front.value()->port() ...
//   front.value()->stop(std::chrono::seconds(30));                 // drain, then shut down
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/access.h"
#include "server/metrics.h"
#include "server/request_log.h"
#include "server/service.h"
#include "server/tls_files.h"

namespace sluice {

// Everything has a bound; the defaults that an operator may change are in configs/server.yaml.
struct GrpcOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 50051;  // 0: an ephemeral one, see port()
  int threads = 2;        // detokenise and write, beside gRPC's own; as many more parse, tokenise
  int max_calls = 4096;   // generations at once, slow readers' too
  int max_streams_per_connection = 1024;            // a client's further calls wait on its side
  size_t max_message_bytes = size_t{4} << 20;       // of a request; more is RESOURCE_EXHAUSTED
  size_t max_metadata_bytes = size_t{16} << 10;     // of a request
  size_t max_buffer_bytes = size_t{512} << 20;      // of all connections' buffers together
  std::chrono::milliseconds write_timeout{30'000};  // a client that takes nothing is dropped
  std::chrono::milliseconds keepalive_interval{60'000};  // pings to a silent client ...
  std::chrono::milliseconds keepalive_timeout{20'000};   // ... that must be answered within this
  std::chrono::milliseconds min_ping_interval{10'000};   // clients that ping more often are cut off
  TlsFiles tls;
  RequestLog* request_log = nullptr;  // borrowed; null: none
  std::shared_ptr<const AccessGate> access = std::make_shared<AccessGate>();  // to all but health
};

class GrpcFrontend {
 public:
  // Binds, listens and starts the threads. `service` and `metrics` must outlive the front. Fails
  // with the address. The service may still be loading: it says so itself, and health follows it.
  static Result<std::unique_ptr<GrpcFrontend>> start(Service& service, Metrics& metrics,
                                                     const GrpcOptions& options);
  // Stops at once if stop() was not called.
  virtual ~GrpcFrontend() = default;

  virtual uint16_t port() const = 0;
  // Health says NOT_SERVING from now on. Lets running generations finish for up to `drain_limit`
  // (the service must refuse new ones), cuts off the rest, shuts down. Returns the number cut off.
  // A second call does nothing.
  virtual int stop(std::chrono::milliseconds drain_limit) = 0;
};

}  // namespace sluice
