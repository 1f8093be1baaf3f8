// Session: one HTTP/1.1 connection on one event loop. The only user of Beast.
//
//   kIdle --bytes--> kReading --request--> kReplying --response written--> kIdle
//     |                 | error, time-out     | client left, write stalls      or kLingering
//     +-----------------+---------> kLingering, kClosed <-------------------------+
//
// At most one read and one write are pending. The read that waits for the next request in kIdle is
// the one that notices a client leaving in kReplying; what a pipelining client sends early stays in
// the buffer. Deadlines are times that a sweep looks at, so a write costs no timer.
#include "server/http/session.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "server/http/client_socket.h"
#include "server/http/http_wire.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Clock = Connection::Clock;
using ErrorCode = boost::system::error_code;
using asio::ip::tcp;

constexpr std::chrono::seconds kLingerLimit{2};  // for the client to read a last response
constexpr size_t kReadStep = 4096;
// What a client may send ahead while it is answered; then it is not read, nor seen leaving.
constexpr size_t kMaxAhead = 16 * 1024;
constexpr size_t kBodyStep = 64 * 1024;        // of a body on its way through the buffer
constexpr size_t kMaxIdleBuffer = 256 * 1024;  // of a connection's output between responses

std::string credentials(const http::request<http::string_body>& message) {
  const std::string_view key = message["X-Api-Key"];
  if (message.count(http::field::authorization) > 0 || key.empty()) {
    return std::string(message[http::field::authorization]);
  }
  return str("Bearer ", key);
}

class Session : public Connection, public std::enable_shared_from_this<Session> {
 public:
  Session(ClientSocket socket, EventLoop& loop, Connections& connections)
      : loop_(loop),
        socket_(std::move(socket)),
        connections_(connections),
        buffer_(connections.options().max_header_bytes + kMaxAhead + kBodyStep) {}

  void start() override { post(&Session::begin); }
  void drain() override { post(&Session::close_if_idle); }
  void abort() override { post(&Session::close); }
  void on_wake() override {
    woken_ = false;
    pump();
  }
  void sweep(Clock::time_point now) override {
    if (deadline_.passed(now)) post(&Session::on_deadline);
  }

 private:
  enum class State { kIdle, kReading, kReplying, kLingering, kClosed };
  using Parser = http::request_parser<http::string_body>;

  void post(void (Session::*step)()) {
    asio::post(socket_.get_executor(),
               [self = shared_from_this(), step] { (self.get()->*step)(); });
  }
  void wake() {  // any thread
    if (!woken_.exchange(true)) loop_.wake(shared_from_this());
  }
  void enter(State state) {
    connections_.count_answering((state == State::kReplying) - (state_ == State::kReplying));
    state_ = state;
  }

  void begin();
  void await_request();
  void watch();
  void on_watch(ErrorCode error, size_t bytes);
  void read_request();
  void on_header(ErrorCode error);
  void read_body();
  void on_read_error(ErrorCode error);
  void dispatch();
  void take(HttpReply reply);
  void refuse(int code, const std::string& why);
  void send_whole(const HttpResponse& response);
  void pump();
  bool begin_stream();
  void write();
  void on_written(ErrorCode error, size_t bytes);
  void end_reply();
  void say_goodbye() {
    socket_.async_goodbye([self = shared_from_this()](ErrorCode) { self->close(); });
  }
  void on_deadline();
  void close_if_idle() {
    if (state_ == State::kIdle) close();
  }
  void close();

  EventLoop& loop_;
  ClientSocket socket_;
  Connections& connections_;
  Deadline deadline_;
  std::atomic<bool> woken_{false};  // it stands in the loop's list

  // The rest belongs to the loop.
  State state_ = State::kIdle;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  bool watching_ = false;
  bool has_asked_ = false;
  bool timed_out_ = false;  // while reading; what was read meanwhile does not count any more

  Framing framing_;  // of the response in hand
  bool can_chunk_ = true;
  std::unique_ptr<PendingReply> reply_;
  bool streaming_ = false;  // the head of a streamed response is out or in out_
  bool complete_ = false;   // out_ ends the response
  bool writing_ = false;
  std::string out_;  // what is being written
  size_t written_ = 0;
  std::string pulled_;  // one pull of the body, before framing
};

void Session::begin() {
  if (!socket_.has_tls()) return await_request();
  enter(State::kReading);
  deadline_.set(connections_.options().read_timeout);
  socket_.async_handshake([self = shared_from_this()](ErrorCode error) {
    if (error || self->timed_out_) return self->close();
    self->await_request();
  });
}

void Session::await_request() {
  enter(State::kIdle);
  if (connections_.draining() && has_asked_) return close();
  if (buffer_.size() == 0) {
    deadline_.set(connections_.options().idle_timeout);
    return watch();
  }
  // A pipelined request. The pending read must end first: two may not share the buffer.
  if (!watching_) return read_request();
  socket_.cancel();
}

void Session::watch() {
  if (watching_ || buffer_.size() >= kMaxAhead) return;
  watching_ = true;
  socket_.async_read_some(
      buffer_.prepare(kReadStep),
      [self = shared_from_this()](ErrorCode error, size_t bytes) { self->on_watch(error, bytes); });
}

void Session::on_watch(ErrorCode error, size_t bytes) {
  watching_ = false;
  buffer_.commit(bytes);
  const bool gone = error && error != asio::error::operation_aborted;
  switch (state_) {
    case State::kIdle:
      if (gone || buffer_.size() == 0) return close();
      return read_request();
    case State::kReplying:
      if (gone) return close();
      return watch();
    case State::kLingering:
      buffer_.clear();
      if (!gone && socket_.has_tls()) return say_goodbye();
      return error ? close() : watch();
    case State::kReading:
    case State::kClosed:
      return;
  }
}

void Session::read_request() {
  enter(State::kReading);
  deadline_.set(connections_.options().read_timeout);
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(connections_.options().max_header_bytes));
  parser_->body_limit(connections_.options().max_body_bytes);
  http::async_read_header(
      socket_, buffer_, *parser_,
      [self = shared_from_this()](ErrorCode error, size_t) { self->on_header(error); });
}

void Session::on_header(ErrorCode error) {
  if (state_ != State::kReading) return;
  if (error || timed_out_) return on_read_error(error);
  const bool expects = boost::beast::iequals((*parser_).get()[http::field::expect], "100-continue");
  if (!expects || parser_->is_done()) return read_body();
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(kContinue),
                    [self = shared_from_this()](ErrorCode write_error, size_t) {
                      if (write_error) return self->on_read_error(write_error);
                      if (self->state_ == State::kReading) self->read_body();
                    });
}

void Session::read_body() {
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](ErrorCode error, size_t) {
                     if (self->state_ != State::kReading) return;
                     if (error || self->timed_out_) return self->on_read_error(error);
                     self->dispatch();
                   });
}

void Session::on_read_error(ErrorCode error) {
  if (state_ != State::kReading) return;
  const HttpOptions& options = connections_.options();
  framing_ = {.keep_alive = false};
  if (timed_out_) {
    return refuse(408,
                  str("the request was not complete after ", options.read_timeout.count(), " ms"));
  }
  if (error == http::error::end_of_stream) return close();
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(431, str("the header is larger than ", options.max_header_bytes, " bytes"));
  }
  if (error == http::error::body_limit) {
    return refuse(413, str("the body is larger than ", options.max_body_bytes, " bytes"));
  }
  if (error == http::error::partial_message) {
    return refuse(400, "the request ended before it was complete");
  }
  if (error.category() == make_error_code(http::error::bad_method).category()) {
    return refuse(400, "malformed HTTP: " + error.message());
  }
  close();
}

void Session::refuse(int code, const std::string& why) {
  enter(State::kReplying);
  send_whole(connections_.handler().refuse(code, why));
}

void Session::dispatch() {
  enter(State::kReplying);
  has_asked_ = true;
  deadline_.clear();
  http::request<http::string_body> message = parser_->release();
  parser_.reset();
  buffer_.shrink_to_fit();  // a body may have passed through it, and answers can take long
  constexpr unsigned kHttp11 = 11;
  can_chunk_ = message.version() >= kHttp11;
  framing_ = {.keep_alive = message.keep_alive(),
              .head_only = message.method() == http::verb::head};
  const auto text = [&message](http::field name) { return std::string(message[name]); };
  std::optional<std::string> path = target_path(message.target());
  if (!path) return refuse(400, "the request target is not percent-encoded correctly");
  HttpRequest request{.method = std::string(message.method_string()),
                      .path = std::move(*path),
                      .body = std::move(message.body()),
                      .content_type = text(http::field::content_type),
                      .authorization = credentials(message),
                      .request_id = std::string(message["X-Request-Id"]),
                      .origin = text(http::field::origin),
                      .traceparent = std::string(message["traceparent"])};
  if (request.body.empty()) return take(connections_.answer(std::move(request)));
  loop_.work([self = shared_from_this(), request = std::move(request)]() mutable {
    asio::post(self->socket_.get_executor(),
               [self, reply = self->connections_.answer(std::move(request))]() mutable {
                 self->take(std::move(reply));
               });
  });
}

void Session::take(HttpReply reply) {
  if (state_ == State::kClosed) return;  // cut off meanwhile; the reply goes, and what works for it
  if (auto* response = std::get_if<HttpResponse>(&reply)) return send_whole(*response);
  reply_ = std::move(std::get<std::unique_ptr<PendingReply>>(reply));
  reply_->start([this] { wake(); });  // never after the reply has gone, which close() sees to
  watch();
  pump();
}

void Session::send_whole(const HttpResponse& response) {
  if (connections_.draining()) framing_.keep_alive = false;
  out_ += response_head(response, framing_);
  if (!framing_.head_only) out_ += response.body;
  complete_ = true;
  write();
}

// Takes what the reply has and writes it; nothing while a write is under way.
void Session::pump() {
  if (!reply_ || writing_) return;
  try {
    if (!streaming_ && !begin_stream()) return;
    pulled_.clear();
    complete_ = !reply_->pull(&pulled_, connections_.options().max_pending_bytes);
  } catch (const std::exception& error) {
    log_error(str("http: a reply failed: ", error.what()));
    if (streaming_) return close();  // the only way left to say that the response is not whole
    reply_.reset();
    return refuse(500, error.what());
  }
  if (!framing_.chunked) {
    out_ += pulled_;
  } else {
    if (!pulled_.empty()) append_chunk(&out_, pulled_);
    if (complete_) out_ += kLastChunk;
  }
  if (out_.empty() && complete_) return end_reply();
  if (!out_.empty()) write();
}

// Asks for the head. True if a stream has begun; false: not yet, or the response was whole.
bool Session::begin_stream() {
  HttpResponse head;
  if (!reply_->head(&head)) return false;
  if (!head.streamed) {
    reply_.reset();
    send_whole(head);
    return false;
  }
  // Where chunks are not understood, the end of the connection ends the body.
  framing_.chunked = can_chunk_;
  if (!can_chunk_ || connections_.draining()) framing_.keep_alive = false;
  out_ += response_head(head, framing_);
  streaming_ = true;
  return true;
}

void Session::write() {
  writing_ = true;
  deadline_.set(connections_.options().write_timeout);
  socket_.async_write_some(asio::buffer(out_.data() + written_, out_.size() - written_),
                           [self = shared_from_this()](ErrorCode error, size_t bytes) {
                             self->on_written(error, bytes);
                           });
}

void Session::on_written(ErrorCode error, size_t bytes) {
  writing_ = false;
  if (state_ == State::kClosed) return;
  if (error) return close();
  written_ += bytes;
  if (written_ < out_.size()) return write();
  deadline_.clear();
  out_.clear();
  written_ = 0;
  if (complete_) return end_reply();
  pump();
}

void Session::end_reply() {
  reply_.reset();
  streaming_ = false;
  complete_ = false;
  if (out_.capacity() > kMaxIdleBuffer) out_.shrink_to_fit();
  if (framing_.keep_alive) return await_request();
  // Closing now, with bytes unread, would reset the connection under the response.
  enter(State::kLingering);
  buffer_.clear();
  deadline_.set(kLingerLimit);
  if (socket_.has_tls()) return watching_ ? socket_.cancel() : say_goodbye();
  socket_.shutdown_send();
  watch();
}

void Session::on_deadline() {
  if (!deadline_.passed(Clock::now())) return;  // moved meanwhile
  deadline_.clear();
  if (state_ != State::kReading) return close();
  timed_out_ = true;
  socket_.cancel();
}

void Session::close() {
  if (state_ == State::kClosed) return;
  enter(State::kClosed);
  deadline_.clear();
  reply_.reset();  // cancels its generation
  socket_.close();
  connections_.remove(this);
}

}  // namespace

std::shared_ptr<Connection> make_session(tcp::socket socket,
                                         std::shared_ptr<asio::ssl::context> tls, EventLoop& loop,
                                         Connections& connections) {
  return std::make_shared<Session>(ClientSocket(std::move(socket), std::move(tls)), loop,
                                   connections);
}

}  // namespace sluice
