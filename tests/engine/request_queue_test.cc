#include "engine/request_queue.h"

#include <gtest/gtest.h>

#include "tests/engine/harness.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kNoWait{0};

TEST(RequestQueue, RefusesMoreThanMayWait) {
  RequestQueue queue(2);
  EXPECT_TRUE(queue.submit(make_request("a", {1}, 1)).ok());
  EXPECT_TRUE(queue.submit(make_request("b", {1}, 1)).ok());
  EXPECT_EQ(queue.submit(make_request("c", {1}, 1)).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(queue.drain(kNoWait).submitted.size(), 2U);
  EXPECT_EQ(queue.submit(make_request("c", {1}, 1)).code(), StatusCode::kResourceExhausted)
      << "they wait inside the engine now";
  queue.set_waiting(1);
  EXPECT_TRUE(queue.submit(make_request("c", {1}, 1)).ok());
}

TEST(RequestQueue, ServesWhatIsInsideWhenClosed) {
  RequestQueue queue(2);
  ASSERT_TRUE(queue.submit(make_request("a", {1}, 1)).ok());
  queue.cancel("a", 3);
  queue.close();
  queue.close();
  EXPECT_EQ(queue.submit(make_request("b", {1}, 1)).code(), StatusCode::kUnavailable);
  const auto drained = queue.drain(std::chrono::hours(1));  // does not wait
  EXPECT_TRUE(drained.closed);
  EXPECT_EQ(drained.submitted.size(), 1U);
  ASSERT_EQ(drained.cancelled.size(), 1U);
  EXPECT_EQ(drained.cancelled[0].choice, 3);
  EXPECT_TRUE(queue.drain(std::chrono::hours(1)).submitted.empty());
}

}  // namespace
}  // namespace sluice
