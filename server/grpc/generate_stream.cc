// The reactor of Generate. gRPC calls back on its own threads, the queue's threads run woken
// streams; the mutex serialises what they see, and gRPC is called outside of it.
#include "server/grpc/generate_stream.h"

#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "server/grpc/grpc_status.h"

namespace sluice {
namespace {

using Reactor = grpc::ServerWriteReactor<v1::GenerateResponse>;

class GenerateStream final : public Reactor,
                             public LiveCall,
                             public Wakeable,
                             public std::enable_shared_from_this<GenerateStream> {
 public:
  GenerateStream(GrpcFront& front, grpc::CallbackServerContext* context, FeedMaker make_feed,
                 std::unique_ptr<CallRecord> record)
      : front_(front),
        make_feed_(std::move(make_feed)),
        context_(context),
        record_(std::move(record)) {}

  // Takes ownership of itself.
  void start();

  // LiveCall and Wakeable.
  const std::string& request_id() const override { return record_->id(); }
  bool cancel() override;
  void drop_if_stuck(TimePoint limit) override;
  void run() override { act(step()); }

  // Reactor.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class Action { kNone, kWrite, kWriteLast, kFinish };

  void prepare();
  bool is_wanted() {
    const std::scoped_lock lock(mutex_);
    return !gone_;
  }
  Action step();
  Action next_of_feed();
  Action finish(Status status);
  Status why_gone() const;
  void drop_feed();
  void act(Action action);

  GrpcFront& front_;
  const FeedMaker make_feed_;
  std::shared_ptr<GenerateStream> self_;  // until OnDone

  std::mutex mutex_;                      // guards what follows, but message_ and status_
  grpc::CallbackServerContext* context_;  // null after OnDone
  std::unique_ptr<GenerationFeed> feed_;  // null until it is made and once it has ended
  const std::unique_ptr<CallRecord> record_;
  Status no_feed_;          // why none could be made
  bool preparing_ = true;   // a worker makes the feed, and reads the request
  bool cancelled_ = false;  // by name, meanwhile
  bool writing_ = false;
  bool finished_ = false;  // gRPC has been told, or is about to be
  bool gone_ = false;      // nobody reads any more
  TimePoint write_began_;

  // Belong to whoever set writing_ or finished_, until gRPC is done with them.
  v1::GenerateResponse message_;
  Status status_;
};

void GenerateStream::start() {
  self_ = shared_from_this();
  if (Status full = front_.calls.add(self_); !full.ok()) {
    std::unique_lock lock(mutex_);
    preparing_ = false;
    const Action action = finish(std::move(full));
    lock.unlock();
    return act(action);
  }
  front_.workers.wake(std::make_shared<Task>([self = self_] { self->prepare(); }));
}

void GenerateStream::prepare() {
  Result<std::unique_ptr<GenerationFeed>> made =
      is_wanted() ? make_feed_() : Status(StatusCode::kCancelled, "the client has left");
  {
    const std::scoped_lock lock(mutex_);
    preparing_ = false;
    if (!made.ok()) {
      no_feed_ = made.status();
    } else if (!gone_) {  // else it goes here, which cancels
      feed_ = std::move(made).value();
      if (cancelled_) feed_->cancel();
      feed_->set_notifier([weak = weak_from_this(), &queue = front_.queue] {
        if (std::shared_ptr<GenerateStream> stream = weak.lock()) queue.wake(std::move(stream));
      });
    }
  }
  run();
}

bool GenerateStream::cancel() {
  const std::scoped_lock lock(mutex_);
  cancelled_ = true;
  if (feed_) feed_->cancel();
  return preparing_ || feed_ != nullptr;
}

void GenerateStream::drop_if_stuck(TimePoint limit) {
  const std::scoped_lock lock(mutex_);
  const bool writes = writing_ || finished_;
  if (context_ != nullptr && writes && write_began_ < limit) context_->TryCancel();
}

void GenerateStream::OnWriteDone(bool ok) {
  {
    const std::scoped_lock lock(mutex_);
    writing_ = false;
    gone_ |= !ok;
  }
  run();
}

void GenerateStream::OnCancel() {
  {
    const std::scoped_lock lock(mutex_);
    gone_ = true;
    drop_feed();  // at once, also while a write is under way
  }
  run();
}

void GenerateStream::OnDone() {
  {
    const std::scoped_lock lock(mutex_);
    context_ = nullptr;
    drop_feed();
  }
  front_.calls.remove(this);
  self_.reset();  // may be the end of this object
}

GenerateStream::Action GenerateStream::step() {
  const std::scoped_lock lock(mutex_);
  if (preparing_ || writing_ || finished_) return Action::kNone;
  if (gone_) return finish(why_gone());
  if (!no_feed_.ok()) return finish(no_feed_);
  try {
    return next_of_feed();
  } catch (const std::exception& error) {
    log_error(str("grpc: a generation failed: ", error.what()));
    return finish({StatusCode::kInternal, error.what()});
  }
}

GenerateStream::Action GenerateStream::next_of_feed() {
  switch (feed_->next(&message_)) {
    case GenerationFeed::Next::kWait:
      return Action::kNone;
    case GenerationFeed::Next::kMessage:
      writing_ = true;
      write_began_ = std::chrono::steady_clock::now();
      return Action::kWrite;
    case GenerationFeed::Next::kLast:
      finish({});
      return Action::kWriteLast;
    case GenerationFeed::Next::kFailed:
      break;
  }
  return finish(feed_->status());
}

GenerateStream::Action GenerateStream::finish(Status status) {
  finished_ = true;
  write_began_ = std::chrono::steady_clock::now();
  status_ = std::move(status);
  drop_feed();
  record_->end(status_);
  return Action::kFinish;
}

// Ends what still runs; what it has made is counted.
void GenerateStream::drop_feed() {
  if (!feed_) return;
  record_->set_counts(feed_->counts());
  feed_.reset();
}

// gRPC cancels a call whose deadline passes; for the client it has failed already.
Status GenerateStream::why_gone() const {
  if (context_->deadline() <= std::chrono::system_clock::now()) {
    return {StatusCode::kDeadlineExceeded, "the call's deadline has passed"};
  }
  return {StatusCode::kCancelled, "the client has left"};
}

// Outside the mutex, as gRPC might call back at once.
void GenerateStream::act(Action action) {
  switch (action) {
    case Action::kNone:
      return;
    case Action::kWrite:
      return StartWrite(&message_);
    case Action::kWriteLast:
      return StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
    case Action::kFinish:
      return Finish(to_grpc(status_));
  }
}

class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const Status& status) { Finish(to_grpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

void CallRecord::end(const Status& status) const {
  const char* code = code_name(status.code());
  front_.metrics.count_grpc(method_, code);
  const Clock::duration spent = Clock::now() - arrival_;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(spent).count();
  log_debug(str("grpc: ", method_, " ", code, " ", ms, " ms ", id_));
  if (front_.options.request_log == nullptr) return;
  front_.options.request_log->write({.front = "grpc",
                                     .call = method_,
                                     .code = code,
                                     .request_id = id_,
                                     .trace = trace_,
                                     .spent = spent,
                                     .counts = counts_});
}

Reactor* start_stream(GrpcFront& front, grpc::CallbackServerContext* context, FeedMaker make_feed,
                      std::unique_ptr<CallRecord> record) {
  auto stream =
      std::make_shared<GenerateStream>(front, context, std::move(make_feed), std::move(record));
  stream->start();
  return stream.get();
}

Reactor* refuse_stream(const Status& status) { return new RefusedStream(status); }

}  // namespace sluice
