// HttpServer: the acceptor, the threads, the sweep of deadlines and the drain.
#include "server/http/http_server.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <future>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "server/http/connections.h"
#include "server/http/event_loop.h"
#include "server/http/http_wire.h"
#include "server/http/session.h"
#include "server/http/tls_context.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using asio::ip::tcp;

constexpr std::chrono::milliseconds kSweepPeriod{50};
constexpr std::chrono::milliseconds kAcceptPause{100};  // after a failed accept: out of files
// For clients to read the end of their answers, once all are written.
constexpr std::chrono::seconds kLastWords{2};
constexpr int kBacklog = 1024;
constexpr std::chrono::seconds kTlsPeriod{1};  // of looking at the certificate's files

}  // namespace

struct HttpServer::Impl {
  Impl(HttpHandler& handler, const HttpOptions& options)
      : connections(handler, options),
        loops(make_loops(options.threads)),
        workers(static_cast<size_t>(options.threads)),
        acceptor(loops.front()->context()),
        sweeper(acceptor.get_executor()),
        accept_pause(acceptor.get_executor()) {}

  std::vector<std::unique_ptr<EventLoop>> make_loops(int count) {
    std::vector<std::unique_ptr<EventLoop>> made;
    for (int i = 0; i < count; ++i) made.push_back(std::make_unique<EventLoop>(workers));
    return made;
  }

  Status listen();
  void accept();
  void on_accept(ErrorCode error, tcp::socket socket, EventLoop& loop);
  void sweep();
  void close_acceptor();

  Connections connections;
  std::vector<std::unique_ptr<EventLoop>> loops;  // the first one accepts and sweeps, too
  size_t next_loop = 0;                           // of the next connection
  asio::thread_pool workers;  // goes before the loops: its tasks hold connections of theirs
  tcp::acceptor acceptor;
  asio::steady_timer sweeper;
  asio::steady_timer accept_pause;
  std::unique_ptr<TlsContext> tls;  // null: no TLS
  Connection::Clock::time_point next_tls_look;
  uint16_t port = 0;
  bool stopped = false;
};

Status HttpServer::Impl::listen() {
  const HttpOptions& options = connections.options();
  const auto failure = [&](const char* what, const ErrorCode& error) {
    return Status(StatusCode::kUnavailable, str("cannot ", what, " ", options.host, ":",
                                                options.port, ": ", error.message()));
  };
  if (options.tls.on()) {
    Result<std::unique_ptr<TlsContext>> loaded = TlsContext::load(options.tls);
    if (!loaded.ok()) return loaded.status();
    tls = std::move(loaded).value();
  }
  ErrorCode error;
  tcp::resolver resolver(acceptor.get_executor());
  const auto addresses =
      resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
  if (error) return failure("resolve", error);
  const tcp::endpoint endpoint = *addresses.begin();
  acceptor.open(endpoint.protocol(), error);
  if (error) return failure("open a socket for", error);
  acceptor.set_option(asio::socket_base::reuse_address(true), error);
  // Inherited by the connections. Without it the kernel may hold megabytes for each slow client.
  acceptor.set_option(
      asio::socket_base::send_buffer_size(static_cast<int>(options.max_pending_bytes)), error);
  acceptor.bind(endpoint, error);
  if (error) return failure("bind", error);
  acceptor.listen(kBacklog, error);
  if (error) return failure("listen on", error);
  port = acceptor.local_endpoint().port();
  return {};
}

void HttpServer::Impl::accept() {
  EventLoop& loop = *loops[next_loop++ % loops.size()];
  acceptor.async_accept(loop.context(), [this, &loop](ErrorCode error, tcp::socket socket) {
    on_accept(error, std::move(socket), loop);
  });
}

void HttpServer::Impl::on_accept(ErrorCode error, tcp::socket socket, EventLoop& loop) {
  if (!acceptor.is_open()) return;
  if (error) {
    log_warning(str("http: accept failed: ", error.message()));
    accept_pause.expires_after(kAcceptPause);
    accept_pause.async_wait([this](ErrorCode) {
      if (acceptor.is_open()) accept();
    });
    return;
  }
  ErrorCode ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (connections.size() >= static_cast<size_t>(connections.options().max_connections)) {
    if (tls) return accept();  // it would not understand what is not encrypted
    const HttpResponse full = connections.handler().refuse(503, "too many connections");
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(response_head(full, {.keep_alive = false}) + full.body),
                      ignored);
  } else {
    const std::shared_ptr<Connection> session =
        make_session(std::move(socket), tls ? tls->current() : nullptr, loop, connections);
    connections.add(session);
    session->start();
  }
  accept();
}

void HttpServer::Impl::sweep() {
  sweeper.expires_after(kSweepPeriod);
  sweeper.async_wait([this](ErrorCode error) {
    if (error) return;
    const Connection::Clock::time_point now = Connection::Clock::now();
    for (const auto& session : connections.all()) session->sweep(now);
    if (tls && now >= next_tls_look) {
      next_tls_look = now + kTlsPeriod;
      tls->reload_if_changed();
    }
    sweep();
  });
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpHandler& handler,
                                                      const HttpOptions& options) {
  SLUICE_CHECK(options.threads > 0);
  auto impl = std::make_unique<Impl>(handler, options);
  SLUICE_RETURN_IF_ERROR(impl->listen());
  impl->accept();
  impl->sweep();
  for (const auto& loop : impl->loops) loop->start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

// When it returns, no connection is added any more.
void HttpServer::Impl::close_acceptor() {
  std::promise<void> closed;
  asio::post(acceptor.get_executor(), [&] {
    ErrorCode ignored;
    acceptor.close(ignored);
    closed.set_value();
  });
  closed.get_future().wait();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { stop(std::chrono::milliseconds(0)); }

uint16_t HttpServer::port() const { return impl_->port; }

int HttpServer::num_connections() const { return static_cast<int>(impl_->connections.size()); }

void HttpServer::reload_tls() {
  if (!impl_->tls) return;
  asio::post(impl_->acceptor.get_executor(), [tls = impl_->tls.get()] { tls->reload(); });
}

int HttpServer::stop(std::chrono::milliseconds drain_limit) {
  if (std::exchange(impl_->stopped, true)) return 0;
  Connections& connections = impl_->connections;
  const Connection::Clock::time_point limit = Connection::Clock::now() + drain_limit;
  connections.set_draining();
  for (const auto& connection : connections.all()) connection->drain();
  connections.wait_until_answered(limit);  // meanwhile new clients are answered that it drains
  impl_->close_acceptor();
  for (const auto& connection : connections.all()) connection->drain();
  connections.wait_until_none(std::min(limit, Connection::Clock::now() + kLastWords));
  const int cut_off = connections.num_answering();
  for (const auto& connection : connections.all()) connection->abort();
  connections.wait_until_none();
  impl_->workers.stop();  // what has not begun is of connections that are closed
  impl_->workers.join();
  for (const auto& loop : impl_->loops) loop->stop();
  return cut_off;
}

}  // namespace sluice
