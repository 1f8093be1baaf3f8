// GrpcFront: what all calls share. Made by the frontend, and outlives them.
#pragma once

#include <string_view>

#include "server/grpc/grpc_frontend.h"
#include "server/grpc/live_calls.h"
#include "server/grpc/wake_queue.h"
#include "server/metrics.h"
#include "server/service.h"

namespace sluice {

struct GrpcFront {
  GrpcFront(Service& the_service, Metrics& the_metrics, const GrpcOptions& the_options)
      : service(the_service),
        metrics(the_metrics),
        options(the_options),
        calls(options.max_calls),
        queue(options.threads),
        workers(options.threads) {}

  Service& service;
  Metrics& metrics;
  const GrpcOptions options;
  LiveCalls calls;
  WakeQueue queue;    // streams with news
  WakeQueue workers;  // templates and tokens of calls, a task each; last: they use all the others
};

}  // namespace sluice
