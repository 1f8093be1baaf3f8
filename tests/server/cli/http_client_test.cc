// The bench's HTTP client against a scripted peer, and its splitter of events.
#include "server/cli/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace sluice {
namespace {

// Listens on a free port, takes one connection, reads a request's head, sends `pieces` one by one
// and closes.
class ScriptedPeer {
 public:
  explicit ScriptedPeer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, plain, size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, plain, &size), 0);
    target_ = {.host = "127.0.0.1", .port = ntohs(address.sin_port)};
    thread_ = std::thread([this] { answer(); });
  }
  ~ScriptedPeer() {
    thread_.join();
    close(listener_);
  }
  const HttpTarget& target() const { return target_; }
  std::string request() {
    thread_.join();
    thread_ = std::thread([] {});
    return request_;
  }

 private:
  void answer() {
    const int fd = accept(listener_, nullptr, nullptr);
    char buffer[4096];
    while (request_.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      request_.append(buffer, static_cast<size_t>(got));
    }
    for (const std::string& piece : pieces_) send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (recv(fd, buffer, sizeof buffer, 0) > 0) {
    }
    close(fd);
  }

  std::vector<std::string> pieces_;
  int listener_ = -1;
  HttpTarget target_;
  std::string request_;
  std::thread thread_;
};

TEST(HttpClient, SendsARequestAndKeepsTheAnswer) {
  ScriptedPeer peer({"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nno", "pe, more"});
  const auto answer = http_request(peer.target(), "POST", "/x", "{}");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(answer.value().code, 404);
  EXPECT_EQ(answer.value().body, "nope");
  const std::string request = peer.request();
  EXPECT_TRUE(request.starts_with("POST /x HTTP/1.1\r\n")) << request;
  EXPECT_NE(request.find("Content-Length: 2\r\n"), std::string::npos);
}

TEST(HttpClient, StreamsChunksAcrossAnyBorders) {
  const std::string whole =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\nB;x=y\r\n, world\r\n!!\r\n0\r\n\r\n";
  for (const size_t step : {size_t{1}, size_t{7}, whole.size()}) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < whole.size(); at += step) pieces.push_back(whole.substr(at, step));
    ScriptedPeer peer(pieces);
    std::string got;
    const auto answer =
        http_request(peer.target(), "GET", "/", "", [&](std::string_view piece) { got += piece; });
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    EXPECT_EQ(got, "hello, world\r\n!!") << step;
  }
}

TEST(HttpClient, BrokenAnswersFail) {
  for (const char* text : {"", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    ScriptedPeer peer({text});
    EXPECT_EQ(http_request(peer.target(), "GET", "/", "").status().code(), StatusCode::kUnavailable)
        << text;
  }
}

TEST(HttpClient, NobodyListening) {
  const auto answer = http_request({.host = "127.0.0.1", .port = 1}, "GET", "/", "");
  EXPECT_EQ(answer.status().message(), "127.0.0.1:1: cannot connect: Connection refused");
}

TEST(EventSplitter, FindsDataLinesAcrossPieces) {
  const std::string stream =
      "data: {\"a\":1}\n\ndata:two\r\n\r\n: comment\nevent: x\ndata: [DONE]\n";
  for (size_t step = 1; step <= stream.size(); ++step) {
    std::vector<std::string> events;
    EventSplitter splitter([&](std::string_view data) { events.emplace_back(data); });
    for (size_t at = 0; at < stream.size(); at += step) splitter.feed(stream.substr(at, step));
    EXPECT_EQ(events, (std::vector<std::string>{"{\"a\":1}", "two", "[DONE]"})) << step;
  }
}

}  // namespace
}  // namespace sluice
