// ClientSocket: a client's TCP socket, with or without TLS, as one stream type for Asio and Beast.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace sluice {

// At most one read and one write at a time, all on the socket's loop.
class ClientSocket {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using executor_type = Tcp::executor_type;
  using ErrorCode = boost::system::error_code;

  // Without a context: no TLS.
  ClientSocket(Tcp socket, std::shared_ptr<boost::asio::ssl::context> context)
      : context_(std::move(context)) {
    context_ ? void(tls_.emplace(std::move(socket), *context_))
             : void(tcp_.emplace(std::move(socket)));
  }

  executor_type get_executor() { return tcp().get_executor(); }
  bool has_tls() const { return tls_.has_value(); }

  // Calls handler(ErrorCode); with TLS only.
  template <typename Handler>
  void async_handshake(Handler&& handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server, std::forward<Handler>(handler));
  }
  // Says goodbye, so that the client can tell the end from a cut; with TLS only, and while no read
  // is pending.
  template <typename Handler>
  void async_goodbye(Handler&& handler) {
    tls_->async_shutdown(std::forward<Handler>(handler));
  }
  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) return tls_->async_read_some(buffers, std::forward<Handler>(handler));
    tcp_->async_read_some(buffers, std::forward<Handler>(handler));
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) return tls_->async_write_some(buffers, std::forward<Handler>(handler));
    tcp_->async_write_some(buffers, std::forward<Handler>(handler));
  }
  void cancel() {
    ErrorCode ignored;
    tcp().cancel(ignored);
  }
  void shutdown_send() {
    ErrorCode ignored;
    tcp().shutdown(Tcp::shutdown_send, ignored);
  }
  void close() {
    ErrorCode ignored;
    tcp().close(ignored);
  }

 private:
  Tcp& tcp() { return tls_ ? tls_->next_layer() : *tcp_; }

  std::shared_ptr<boost::asio::ssl::context> context_;
  std::optional<Tcp> tcp_;  // one of the two
  std::optional<boost::asio::ssl::stream<Tcp>> tls_;
};

}  // namespace sluice
