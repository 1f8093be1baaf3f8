// POSIX sockets, and OpenSSL over them.
#include "server/cli/client_channel.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"

namespace sluice {
namespace {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;  // negative: none
};

Socket connect_to(const HttpTarget& target) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(target.host.c_str(), str(target.port).c_str(), &hints, &found) != 0) {
    return Socket(-1);
  }
  int fd = -1;
  for (const addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next) {
    fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
      close(fd);
      fd = -1;
    }
  }
  freeaddrinfo(found);
  if (fd < 0) return Socket(fd);
  const int on = 1;
  const timeval limit{.tv_sec = target.timeout.count(), .tv_usec = 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return Socket(fd);
}

class PlainChannel final : public ClientChannel {
 public:
  explicit PlainChannel(Socket socket) : socket_(std::move(socket)) {}

  bool send_all(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  ssize_t receive(char* buffer, size_t size) override {
    ssize_t got = 0;
    do {
      got = recv(socket_.fd(), buffer, size, 0);
    } while (got < 0 && errno == EINTR);
    return got;
  }

 private:
  Socket socket_;
};

struct FreeSsl {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class TlsChannel final : public ClientChannel {
 public:
  explicit TlsChannel(Socket socket) : socket_(std::move(socket)) {}

  // Shakes hands; false, with the reason in OpenSSL's queue, if the other side cannot.
  bool open() {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (!context_) return false;
    ssl_.reset(SSL_new(context_.get()));
    return ssl_ && SSL_set_fd(ssl_.get(), socket_.fd()) == 1 && SSL_connect(ssl_.get()) == 1;
  }

  bool send_all(std::string_view bytes) override {
    size_t sent = 0;
    return SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent) == 1;  // all, or none
  }

  ssize_t receive(char* buffer, size_t size) override {
    size_t got = 0;
    return SSL_read_ex(ssl_.get(), buffer, size, &got) == 1 ? static_cast<ssize_t>(got) : 0;
  }

 private:
  Socket socket_;
  std::unique_ptr<SSL_CTX, FreeSsl> context_;
  std::unique_ptr<SSL, FreeSsl> ssl_;  // destroyed first: it uses both
};

}  // namespace

Status channel_failure(const HttpTarget& target, const std::string& why) {
  return {StatusCode::kUnavailable, str(target.host, ":", target.port, ": ", why)};
}

Result<std::unique_ptr<ClientChannel>> open_channel(const HttpTarget& target) {
  Socket socket = connect_to(target);
  if (socket.fd() < 0) {
    return channel_failure(target, str("cannot connect: ", std::strerror(errno)));
  }
  if (!target.tls) {
    return std::unique_ptr<ClientChannel>(std::make_unique<PlainChannel>(std::move(socket)));
  }
  auto channel = std::make_unique<TlsChannel>(std::move(socket));
  if (!channel->open()) {
    const char* reason = ERR_reason_error_string(ERR_get_error());
    return channel_failure(target,
                           str("no TLS: ", reason != nullptr ? reason : "the connection ended"));
  }
  return std::unique_ptr<ClientChannel>(std::move(channel));
}

}  // namespace sluice
