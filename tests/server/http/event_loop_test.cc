// What one connection does must not hold up the others on its loop.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "server/http/http_server.h"
#include "tests/server/http/test_client.h"

namespace sluice {
namespace {

// Answers a GET at once, and a POST when it is let go.
class SlowHandler final : public HttpHandler {
 public:
  HttpReply handle(HttpRequest request) override {
    if (request.method == "POST") {
      begun.count_down();
      let_go.wait();
    }
    HttpResponse response;
    response.body = "{}";
    return response;
  }
  HttpResponse refuse(int code, const std::string& why) override {
    HttpResponse response;
    response.code = code;
    response.body = why;
    return response;
  }
  std::latch begun{1}, let_go{1};
};

HttpOptions one_thread() {
  HttpOptions options;
  options.port = 0;
  options.threads = 1;
  return options;
}

TEST(EventLoop, ARequestThatTakesLongHoldsUpNobodyElse) {
  SlowHandler handler;
  const auto server = HttpServer::start(handler, one_thread());
  ASSERT_TRUE(server.ok());
  TestClient slow(server.value()->port());
  ASSERT_TRUE(slow.send(post("/v1/completions", "{}")));
  handler.begun.wait();
  EXPECT_EQ(fetch(server.value()->port(), get("/health/live")).code, 200);
  handler.let_go.count_down();
  EXPECT_EQ(slow.response().code, 200);
}

TEST(EventLoop, AnAnswerForAConnectionThatWasCutOffIsDropped) {
  SlowHandler handler;
  const auto server = HttpServer::start(handler, one_thread());
  ASSERT_TRUE(server.ok());
  TestClient slow(server.value()->port());
  ASSERT_TRUE(slow.send(post("/v1/completions", "{}")));
  handler.begun.wait();
  std::thread stopper([&] { EXPECT_EQ(server.value()->stop(std::chrono::milliseconds(0)), 1); });
  while (server.value()->num_connections() > 0) std::this_thread::yield();
  handler.let_go.count_down();
  stopper.join();
  EXPECT_TRUE(slow.at_end());
}

}  // namespace
}  // namespace sluice
