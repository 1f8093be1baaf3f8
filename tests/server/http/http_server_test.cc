// Connections over real sockets: framing, limits, slow and rude clients, the drain.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/http/http_frontend.h"
#include "tests/fakes/fake_service.h"
#include "tests/server/http/test_client.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kStream = R"({"prompt":"hi","stream":true,"max_tokens":40})";

class HttpServerTest : public testing::Test {
 protected:
  void start() {
    options.port = 0;
    auto started = HttpFrontend::start(service, metrics, options);
    ASSERT_TRUE(started.ok()) << started.status().message();
    front = std::move(started).value();
  }
  uint16_t port() const { return front->port(); }

  FakeService service;
  Metrics metrics{"tiny"};
  HttpOptions options;
  std::unique_ptr<HttpFrontend> front;
};

TEST_F(HttpServerTest, KeepsConnectionsAlive) {
  start();
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send(get("/health/live")));
    const TestResponse response = client.response();
    EXPECT_EQ(response.code, 200);
    EXPECT_EQ(response.headers.at("connection"), "keep-alive");
  }
  ASSERT_TRUE(client.send(get("/health/live", "Connection: close\r\n")));
  EXPECT_EQ(client.response().headers.at("connection"), "close");
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpServerTest, ClosesAfterAnHttp10Response) {
  start();
  TestClient client(port());
  ASSERT_TRUE(client.send("GET /health/live HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(client.response().code, 200);
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpServerTest, StreamsToHttp10WithoutChunks) {
  start();
  TestClient client(port());
  std::string request = post("/v1/completions", kStream);
  request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
  ASSERT_TRUE(client.send(request));
  const TestResponse response = client.response();
  EXPECT_FALSE(response.headers.contains("transfer-encoding"));
  EXPECT_EQ(events(response.body).size(), 41U);
  EXPECT_EQ(events(response.body).back(), "[DONE]");
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  TestClient client(port());
  std::string all = post("/v1/completions", R"({"prompt":"a","max_tokens":2})") + get("/version") +
                    post("/v1/completions", kStream) + get("/nowhere");
  ASSERT_TRUE(client.send(all));
  EXPECT_NE(client.response().body.find("text_completion"), std::string::npos);
  EXPECT_NE(client.response().body.find("version"), std::string::npos);
  EXPECT_EQ(events(client.response().body).back(), "[DONE]");
  EXPECT_EQ(client.response().code, 404);
}

TEST_F(HttpServerTest, KeepsAPipelinedRequestThatComesDuringAnAnswer) {
  service.hold = true;
  start();
  TestClient client(port());
  ASSERT_TRUE(client.send(post("/v1/completions", R"({"prompt":"a","max_tokens":2})")));
  while (service.live() == 0) std::this_thread::yield();
  const std::string next = get("/version");
  ASSERT_TRUE(client.send(next.substr(0, 10)));
  service.release(2);
  EXPECT_EQ(client.response().code, 200);
  ASSERT_TRUE(client.send(next.substr(10)));
  EXPECT_NE(client.response().body.find("version"), std::string::npos);
}

TEST_F(HttpServerTest, TakesRequestsByteByByteAndChunkedBodies) {
  start();
  TestClient client(port());
  for (const char c : post("/v1/completions", R"({"prompt":"a","max_tokens":1})")) {
    ASSERT_TRUE(client.send({&c, 1}));
  }
  EXPECT_EQ(client.response().code, 200);
  ASSERT_TRUE(
      client.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n"
                  "b\r\n{\"prompt\":\"\r\n14\r\nxyz\",\"max_tokens\":1}\r\n0\r\n\r\n"));
  EXPECT_EQ(client.response().code, 200);
  EXPECT_EQ(std::get<std::string>(service.last_call().prompt), "xyz");
}

TEST_F(HttpServerTest, ContinuesWhenAskedTo) {
  start();
  TestClient client(port());
  const std::string request =
      post("/v1/completions", R"({"prompt":"a","max_tokens":1})", "Expect: 100-continue\r\n");
  const size_t body = request.find("\r\n\r\n") + 4;
  ASSERT_TRUE(client.send(request.substr(0, body)));
  EXPECT_EQ(client.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client.send(request.substr(body)));
  EXPECT_EQ(client.response().code, 200);
}

TEST_F(HttpServerTest, RefusesOversizeHeadersAndBodies) {
  options.max_body_bytes = 1000;
  start();
  const TestResponse header =
      fetch(port(), get("/version", std::string("X-Long: ").append(17 * 1024, 'x').append("\r\n")));
  EXPECT_EQ(header.code, 431);
  EXPECT_NE(header.body.find("larger than 16384 bytes"), std::string::npos);
  const TestResponse body = fetch(port(), post("/v1/completions", std::string(1001, ' ')));
  EXPECT_EQ(body.code, 413);
  EXPECT_NE(body.body.find("larger than 1000 bytes"), std::string::npos);
  const std::string chunk = std::string("400\r\n").append(1024, ' ').append("\r\n");
  EXPECT_EQ(fetch(port(), "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" +
                              chunk + "0\r\n\r\n")
                .code,
            413);
}

TEST_F(HttpServerTest, RefusesWhatIsNoHttp) {
  start();
  for (const char* text :
       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n", "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const TestResponse response = fetch(port(), text);
    EXPECT_EQ(response.code, 400) << text;
    EXPECT_NE(response.body.find("malformed HTTP"), std::string::npos) << text << response.body;
  }
  EXPECT_EQ(fetch(port(), get("/%zz")).code, 400);
}

TEST_F(HttpServerTest, SaysThatARequestIsIncomplete) {
  options.read_timeout = milliseconds(100);
  start();
  TestClient slow(port());
  ASSERT_TRUE(slow.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{\"prom"));
  const TestResponse late = slow.response();
  EXPECT_EQ(late.code, 408);
  EXPECT_NE(late.body.find("not complete after 100 ms"), std::string::npos);
  TestClient half(port());
  ASSERT_TRUE(half.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{\"prom"));
  half.shutdown_send();
  EXPECT_EQ(half.response().code, 400);
}

TEST_F(HttpServerTest, ClosesIdleConnections) {
  options.idle_timeout = milliseconds(50);
  start();
  TestClient client(port());
  EXPECT_TRUE(client.at_end());
  while (front->num_connections() > 0) std::this_thread::yield();
}

TEST_F(HttpServerTest, BoundsTheConnections) {
  options.max_connections = 1;
  start();
  TestClient first(port());
  ASSERT_TRUE(first.send(get("/health/live")));
  EXPECT_EQ(first.response().code, 200);
  TestClient second(port());
  EXPECT_EQ(second.response().code, 503);
}

TEST_F(HttpServerTest, CancelsWhenTheClientLeaves) {
  service.hold = true;
  start();
  for (const char* body : {R"({"prompt":"a"})", R"({"prompt":"a","stream":true})"}) {
    TestClient client(port());
    ASSERT_TRUE(client.send(post("/v1/completions", body)));
    while (service.live() == 0) std::this_thread::yield();
    client.close();
    EXPECT_TRUE(service.wait_none_live()) << body;
  }
  TestClient streaming(port());
  ASSERT_TRUE(streaming.send(post("/v1/completions", kStream)));
  while (service.live() == 0) std::this_thread::yield();
  service.release(3);
  EXPECT_NE(streaming.receive_until("\"text\":\"c\"").find("\"text\":\"a\""), std::string::npos);
  streaming.reset();
  EXPECT_TRUE(service.wait_none_live());
  EXPECT_EQ(service.cancelled(), 3);
}

TEST_F(HttpServerTest, LosesNothingForASlowReader) {
  service.token_text = std::string(1000, 'Q');
  options.max_pending_bytes = 4096;
  start();
  TestClient slow(port(), 2048);
  ASSERT_TRUE(
      slow.send(post("/v1/completions", R"({"prompt":"a","stream":true,"max_tokens":300})")));
  std::string head;
  for (int i = 0; i < 64; ++i) head += slow.receive(1);  // a byte at a time, while others run
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(fetch(port(), post("/v1/completions", R"({"prompt":"a","max_tokens":5})")).code, 200);
  }
  EXPECT_EQ(service.live(), 1);  // it waits: its socket is full and nothing more is pulled
  std::string body;
  while (body.find("data: [DONE]") == std::string::npos) {
    const std::string more = slow.receive(700);
    ASSERT_FALSE(more.empty());
    body += more;
  }
  EXPECT_TRUE(service.wait_none_live());
  EXPECT_EQ(service.cancelled(), 0);
  head += body;
  EXPECT_EQ(std::count(head.begin(), head.end(), 'Q'), 300 * 1000);
}

TEST_F(HttpServerTest, DropsAClientThatTakesNothing) {
  service.hold = true;
  service.token_text = std::string(10'000, 'x');
  options.max_pending_bytes = 4096;
  options.write_timeout = milliseconds(100);
  start();
  TestClient stuck(port(), 2048);
  ASSERT_TRUE(
      stuck.send(post("/v1/completions", R"({"prompt":"a","stream":true,"max_tokens":3000})")));
  EXPECT_EQ(stuck.receive(1), "H");
  service.release(2999);
  EXPECT_TRUE(service.wait_none_live());
  EXPECT_EQ(service.cancelled(), 1);
}

TEST_F(HttpServerTest, DrainsRunningResponsesAndClosesIdleOnes) {
  service.hold = true;
  start();
  TestClient idle(port());
  ASSERT_TRUE(idle.send(get("/health/live")));
  EXPECT_EQ(idle.response().code, 200);
  TestClient running(port());
  ASSERT_TRUE(running.send(post("/v1/completions", kStream)));
  while (service.live() == 0) std::this_thread::yield();
  std::future<int> stopped =
      std::async(std::launch::async, [this] { return front->stop(std::chrono::seconds(10)); });
  EXPECT_TRUE(idle.at_end());
  service.state = Readiness::kDraining;
  EXPECT_EQ(fetch(port(), get("/health/ready")).code, 503);
  service.release(40);
  EXPECT_EQ(events(running.response().body).back(), "[DONE]");
  running.close();
  EXPECT_EQ(stopped.get(), 0);
  EXPECT_EQ(service.cancelled(), 0);
}

TEST_F(HttpServerTest, CutsOffWhatOutlastsTheDrain) {
  service.hold = true;
  start();
  TestClient running(port());
  ASSERT_TRUE(running.send(post("/v1/completions", kStream)));
  while (service.live() == 0) std::this_thread::yield();
  EXPECT_EQ(front->stop(milliseconds(20)), 1);
  EXPECT_EQ(service.cancelled(), 1);
  EXPECT_FALSE(running.response().whole);
  EXPECT_EQ(front->stop(milliseconds(20)), 0);
}

TEST_F(HttpServerTest, SaysWhyItCannotListen) {
  start();
  HttpOptions same = options;
  same.port = port();
  const auto second = HttpFrontend::start(service, metrics, same);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("cannot bind 127.0.0.1:"), std::string::npos);
  EXPECT_NE(second.status().message().find("in use"), std::string::npos);
}

TEST_F(HttpServerTest, ServesManyClientsThatComeAndGo) {
  service.hold = true;
  start();
  std::vector<std::thread> clients;
  std::atomic<int> whole{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([this, i, &whole] {
      TestClient client(port());
      client.send(post("/v1/completions", kStream));
      if (i % 4 == 0) return;
      if (i % 4 == 1) client.receive(1);
      if (i % 4 == 1) return client.reset();
      whole += events(client.response().body).size() == 41 ? 1 : 0;
    });
  }
  std::atomic<bool> done{false};
  std::thread engine([this, &done] {
    while (!done) {
      service.release(1);
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  for (std::thread& client : clients) client.join();
  done = true;
  engine.join();
  EXPECT_EQ(whole, 8);
  EXPECT_TRUE(service.wait_none_live());
}

}  // namespace
}  // namespace sluice
