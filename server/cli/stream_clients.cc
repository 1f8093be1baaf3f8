// The clients' process: it takes orders from a socket until that closes.
#include "server/cli/stream_clients.h"

#include <grpcpp/create_channel.h>
#include <sluice/v1/inference.grpc.pb.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"
#include "server/cli/http_client.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

using Order = StreamClients::Order;
using Outcome = StreamClients::Outcome;

template <typename T>
bool send_value(int socket, const T& value) {
  return send(socket, &value, sizeof value, MSG_NOSIGNAL) == ssize_t{sizeof value};
}

template <typename T>
bool receive_value(int socket, T* value) {
  return recv(socket, value, sizeof *value, MSG_WAITALL) == ssize_t{sizeof *value};
}

// The events of one stream; absent: it failed.
std::optional<int64_t> read_over_http(const Order& order) {
  std::string body = R"({"model":"echo","stream":true,"ignore_eos":true,"temperature":0,)";
  body += str(R"("add_special_tokens":false,"max_tokens":)", order.output_len, R"(,"prompt":)");
  append_json_string(&body, StreamClients::prompt());
  body += "}";
  int64_t events = 0;
  bool done = false;
  EventSplitter splitter(
      [&](std::string_view data) { (data == "[DONE]") ? void(done = true) : void(++events); });
  const Result<HttpAnswer> answer =
      http_request({.host = "127.0.0.1", .port = order.port}, "POST", "/v1/completions", body,
                   [&](std::string_view piece) { splitter.feed(piece); });
  if (!answer.ok() || answer.value().code != 200 || !done) return std::nullopt;
  return events;
}

std::optional<int64_t> read_over_grpc(const Order& order, v1::Inference::Stub& stub) {
  v1::GenerateRequest request;
  request.set_text(std::string(StreamClients::prompt()));
  request.set_add_special_tokens(false);
  request.mutable_sampling()->set_max_tokens(order.output_len);
  request.mutable_sampling()->set_ignore_eos(true);
  request.mutable_sampling()->set_temperature(0);
  grpc::ClientContext context;
  const auto reader = stub.Generate(&context, request);
  int64_t events = 0;
  for (v1::GenerateResponse message; reader->Read(&message);) {
    events += message.choices_size() > 0 ? 1 : 0;
  }
  if (!reader->Finish().ok()) return std::nullopt;
  return events;
}

Outcome fulfil(const Order& order) {
  // One connection for all, as a gateway has it; HTTP/1.1 needs one each.
  const auto stub = v1::Inference::NewStub(
      grpc::CreateChannel(str("127.0.0.1:", order.port), grpc::InsecureChannelCredentials()));
  std::atomic<int64_t> events = 0, failures = 0;
  std::vector<std::jthread> threads;
  for (int64_t i = 0; i < order.streams; ++i) {
    threads.emplace_back([&] {
      const auto read = order.over_grpc ? read_over_grpc(order, *stub) : read_over_http(order);
      read ? events += *read : ++failures;
    });
  }
  threads.clear();  // joins
  return {.events = events, .failures = failures};
}

[[noreturn]] void serve_orders(int socket) {
  Order order;
  while (receive_value(socket, &order)) {
    if (!send_value(socket, fulfil(order))) break;
  }
  _exit(0);
}

}  // namespace

std::string_view StreamClients::prompt() {
  return "It was the best of times, it was the worst of times, it was the age of wisdom, it was "
         "the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it "
         "was the season of light, it was the season of darkness. ";
}

Result<StreamClients> StreamClients::start() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return Status(StatusCode::kUnavailable, "cannot make a socket for the clients' process");
  }
  const pid_t pid = fork();
  if (pid == 0) {
    close(sockets[0]);
    serve_orders(sockets[1]);
  }
  close(sockets[1]);
  if (pid > 0) return StreamClients(pid, sockets[0]);
  close(sockets[0]);
  return Status(StatusCode::kUnavailable, "cannot start the clients' process");
}

StreamClients::StreamClients(StreamClients&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::exchange(other.socket_, -1)) {}

StreamClients::~StreamClients() {
  if (pid_ < 0) return;
  close(socket_);
  waitpid(pid_, nullptr, 0);
}

Result<Outcome> StreamClients::run(const Order& order) const {
  Outcome outcome;
  if (send_value(socket_, order) && receive_value(socket_, &outcome)) return outcome;
  return Status(StatusCode::kUnavailable, "the clients' process has ended");
}

}  // namespace sluice
