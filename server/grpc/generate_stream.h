// GenerateStream: one call of Inference.Generate, a gRPC reactor over a GenerationFeed.
//
//   a worker: prepare --> feed
//   wake-up, write done --> step: feed.next() --> StartWrite --> (write done) --> ... --> Finish
//   cancelled, deadline, connection lost --> the feed is destroyed, which cancels; Finish
//
// At most one write is under way. Nothing is taken from the feed meanwhile, so a slow reader waits
// where tokens are bounded already.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>
#include <sluice/v1/inference.pb.h>

#include <functional>
#include <memory>
#include <string>

#include "server/grpc/generation_feed.h"
#include "server/grpc/grpc_front.h"

namespace sluice {

// One call's count in the metrics and lines in the logs (without a word of the content).
class CallRecord {
 public:
  using Clock = std::chrono::steady_clock;

  // `front` must outlive it; `method` must be a literal.
  CallRecord(GrpcFront& front, std::string_view method, std::string id, TraceContext trace)
      : front_(front),
        method_(method),
        id_(std::move(id)),
        trace_(std::move(trace)),
        arrival_(Clock::now()) {}

  void set_counts(const RequestCounts& counts) { counts_ = counts; }
  // Once, before the client hears of it.
  void end(const Status& status) const;
  const std::string& id() const { return id_; }
  Clock::time_point arrival() const { return arrival_; }

 private:
  GrpcFront& front_;
  std::string_view method_;
  std::string id_;
  TraceContext trace_;
  Clock::time_point arrival_;
  std::optional<RequestCounts> counts_;
};

// Where a stream's messages come from, or why there are none. Called once, on a worker; it may take
// its time, and the call's request lives as long.
using FeedMaker = std::function<Result<std::unique_ptr<GenerationFeed>>()>;

// Starts the stream: registers it with `front`, has its feed made and writes. The reactor owns
// itself until gRPC is done with it. `context` is the call's.
grpc::ServerWriteReactor<v1::GenerateResponse>* start_stream(GrpcFront& front,
                                                             grpc::CallbackServerContext* context,
                                                             FeedMaker make_feed,
                                                             std::unique_ptr<CallRecord> record);

// A reactor that fails the call at once.
grpc::ServerWriteReactor<v1::GenerateResponse>* refuse_stream(const Status& status);

}  // namespace sluice
