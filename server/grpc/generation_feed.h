// GenerationFeed: one Generation as a sequence of GenerateResponses, each of bounded size.
//
//   start | prompt_logprobs ... | choices ... | end
//
// Pull, not push: what is not asked for waits in the engine's bounded stream. One caller at a time.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/grpc/call_messages.h"
#include "server/metrics.h"
#include "server/request_log.h"
#include "server/service.h"

namespace sluice {

class GenerationFeed {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // A message closes once it has reached kMessageBytes; one piece of a choice is at most
  // kPieceTokens tokens and kPieceBytes of text. So no message comes near gRPC's usual limit of 4
  // MiB.
  static constexpr size_t kMessageBytes = 64 << 10;
  static constexpr size_t kPieceTokens = 128;
  static constexpr size_t kPieceBytes = 16 << 10;
  static constexpr size_t kPromptLogprobs = 128;  // positions of one message

  struct Call {
    std::string request_id;
    std::string model;  // as the client named it
    int n = 1;
    bool prompt_logprobs = false;
    std::vector<TokenId> stop_ids;
    TimePoint arrival;
  };

  // `metrics` must outlive it. Destroying it cancels what still runs.
  GenerationFeed(std::unique_ptr<Generation> generation, Call call, Metrics& metrics);

  // As Generation::set_notifier: called when a next() that said kWait may be asked again.
  void set_notifier(std::function<void()> notify) { generation_->set_notifier(std::move(notify)); }

  enum class Next {
    kMessage,  // *out is the next message
    kLast,     // *out is the last one
    kWait,     // there is none yet
    kFailed,   // there is none any more: status() says why
  };
  // Not to be called again after kLast or kFailed.
  Next next(v1::GenerateResponse* out);
  const Status& status() const { return status_; }
  RequestCounts counts() const;
  // Ends the generation early; its last delta says so.
  void cancel() { generation_->cancel(); }

 private:
  void take();
  bool add_prompt_logprobs(v1::GenerateResponse* out);
  void add_choices(v1::GenerateResponse* out);
  void add_end(v1::GenerateResponse* out) const;

  const Call call_;
  const std::unique_ptr<Generation> generation_;
  GenerationTimer timer_;
  bool started_ = false;
  std::deque<TextDelta> waiting_;
  size_t prompt_logprobs_sent_ = 0;
  TimePoint first_token_{};  // the epoch: none yet
  TimePoint last_token_{};
  Status status_;
};

}  // namespace sluice
