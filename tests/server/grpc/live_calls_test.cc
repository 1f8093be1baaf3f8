// The registry of running generations.
#include "server/grpc/live_calls.h"

#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

class FakeCall final : public LiveCall {
 public:
  explicit FakeCall(std::string id) : id_(std::move(id)) {}
  const std::string& request_id() const override { return id_; }
  bool cancel() override { return ++cancels == 1; }
  void drop_if_stuck(TimePoint) override {}

  int cancels = 0;

 private:
  std::string id_;
};

TEST(LiveCalls, RefusesOneTooMany) {
  LiveCalls calls(2);
  const auto a = std::make_shared<FakeCall>("a");
  const auto b = std::make_shared<FakeCall>("b");
  const auto c = std::make_shared<FakeCall>("c");
  EXPECT_TRUE(calls.add(a).ok());
  EXPECT_TRUE(calls.add(b).ok());
  EXPECT_EQ(calls.add(c).code(), StatusCode::kResourceExhausted);
  calls.remove(c.get());  // was never in
  EXPECT_EQ(calls.size(), 2U);
  calls.remove(a.get());
  EXPECT_TRUE(calls.add(c).ok());
}

TEST(LiveCalls, CancelsAllOfAName) {
  LiveCalls calls(9);
  const auto a1 = std::make_shared<FakeCall>("a");
  const auto a2 = std::make_shared<FakeCall>("a");
  const auto b = std::make_shared<FakeCall>("b");
  for (const auto& call : {a1, a2, b}) EXPECT_TRUE(calls.add(call).ok());
  EXPECT_EQ(calls.cancel("a"), 2);
  EXPECT_EQ(calls.cancel("nobody"), 0);
  EXPECT_EQ(calls.cancel("a"), 0);  // they have ended by now
  EXPECT_EQ(a1->cancels + a2->cancels, 4);
  EXPECT_EQ(b->cancels, 0);
}

TEST(LiveCalls, WaitsForTheLastOne) {
  LiveCalls calls(9);
  const auto call = std::make_shared<FakeCall>("a");
  EXPECT_TRUE(calls.add(call).ok());
  calls.wait_until_none(LiveCall::TimePoint());  // long past: returns at once
  EXPECT_EQ(calls.size(), 1U);
  std::thread remover([&] { calls.remove(call.get()); });
  calls.wait_until_none(LiveCall::TimePoint::max());
  EXPECT_EQ(calls.size(), 0U);
  remover.join();
}

}  // namespace
}  // namespace sluice
