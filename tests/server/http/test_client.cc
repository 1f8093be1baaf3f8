// TestClient over POSIX sockets.
#include "tests/server/http/test_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

namespace sluice {

TestClient::TestClient(uint16_t port, int receive_buffer) {
  fd_ = socket(AF_INET, SOCK_STREAM, 0);
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (receive_buffer > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) close();
}

bool TestClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string TestClient::receive(size_t limit) {
  if (!rest_.empty()) {
    std::string out = rest_.substr(0, limit);
    rest_.erase(0, out.size());
    return out;
  }
  std::string out(limit, '\0');
  const ssize_t got = recv(fd_, out.data(), out.size(), 0);
  out.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return out;
}

bool TestClient::fill() {
  std::string kept = std::move(rest_);
  rest_.clear();
  const std::string more = receive();
  rest_ = std::move(kept) + more;
  return !more.empty();
}

std::string TestClient::receive_until(std::string_view mark) {
  while (rest_.find(mark) == std::string::npos && fill()) {
  }
  const size_t at = rest_.find(mark);
  return receive(at == std::string::npos ? rest_.size() : at + mark.size());
}

bool TestClient::read_chunks(std::string* body) {
  while (true) {
    const std::string line = receive_until("\r\n");
    if (!line.ends_with("\r\n")) return false;
    const size_t size = std::stoul(line, nullptr, 16);
    while (rest_.size() < size + 2 && fill()) {
    }
    if (rest_.size() < size + 2) return false;
    if (size == 0) {
      rest_.erase(0, 2);
      return true;
    }
    body->append(rest_, 0, size);
    rest_.erase(0, size + 2);
  }
}

TestResponse TestClient::response(bool head_only) {
  TestResponse out;
  std::string head = receive_until("\r\n\r\n");
  if (!head.ends_with("\r\n\r\n") || !head.starts_with("HTTP/1.1 ")) return out;
  out.code = std::stoi(head.substr(9));
  size_t at = head.find("\r\n") + 2;
  while (at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at);
    const size_t colon = head.find(':', at);
    std::string name = head.substr(at, colon - at);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    out.headers[name] = head.substr(colon + 2, end - colon - 2);
    at = end + 2;
  }
  if (head_only || out.code == 204) {
    out.whole = true;
  } else if (out.headers.contains("transfer-encoding")) {
    out.whole = read_chunks(&out.body);
  } else if (out.headers.contains("content-length")) {
    const size_t size = std::stoul(out.headers["content-length"]);
    while (rest_.size() < size && fill()) {
    }
    out.whole = rest_.size() >= size;
    out.body = rest_.substr(0, size);
    rest_.erase(0, size);
  } else {
    while (fill()) {
    }
    out.body = std::move(rest_);
    rest_.clear();
    out.whole = true;
  }
  return out;
}

void TestClient::shutdown_send() { ::shutdown(fd_, SHUT_WR); }

void TestClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void TestClient::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

std::string post(std::string_view path, std::string_view body, std::string_view headers) {
  std::string out = "POST ";
  out.append(path).append(" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
  out.append(headers).append("Content-Length: ").append(std::to_string(body.size()));
  out.append("\r\n\r\n").append(body);
  return out;
}

std::string get(std::string_view path, std::string_view headers) {
  std::string out = "GET ";
  out.append(path).append(" HTTP/1.1\r\nHost: x\r\n").append(headers).append("\r\n");
  return out;
}

TestResponse fetch(uint16_t port, std::string_view request) {
  TestClient client(port);
  if (!client.send(request)) return {};
  return client.response();
}

std::vector<std::string> events(const std::string& body) {
  std::vector<std::string> out;
  size_t at = 0;
  while ((at = body.find("data: ", at)) != std::string::npos) {
    const size_t end = body.find("\n\n", at);
    out.push_back(body.substr(at + 6, end - at - 6));
    if (end == std::string::npos) break;
    at = end;
  }
  return out;
}

}  // namespace sluice
