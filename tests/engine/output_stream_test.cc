#include "engine/output_stream.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TokenEvent event_of(TokenId token) {
  TokenEvent event;
  event.token = token;
  return event;
}

TEST(OutputStream, DrainsInOrder) {
  OutputStream stream;
  EXPECT_TRUE(stream.drain().empty());
  for (TokenId token = 0; token < 5; ++token) stream.push(event_of(token));
  const auto events = stream.drain();
  ASSERT_EQ(events.size(), 5U);
  for (TokenId token = 0; token < 5; ++token) {
    EXPECT_EQ(events[static_cast<size_t>(token)].token, token);
  }
  EXPECT_TRUE(stream.drain().empty());
}

TEST(OutputStream, NotifiesOncePerEmptyStream) {
  OutputStream stream;
  int calls = 0;
  stream.set_notifier([&calls] { ++calls; });
  stream.push(event_of(1));
  stream.push(event_of(2));
  EXPECT_EQ(calls, 1);
  (void)stream.drain();
  stream.push(event_of(3));
  EXPECT_EQ(calls, 2);
  stream.set_notifier(nullptr);
  (void)stream.drain();
  stream.push(event_of(4));
  EXPECT_EQ(calls, 2);
}

TEST(OutputStream, ANewNotifierHearsOfWhatWaits) {
  OutputStream stream;
  stream.push(event_of(1));
  int calls = 0;
  stream.set_notifier([&calls] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(OutputStream, WaitReturnsEmptyHandedAtItsLimit) {
  OutputStream stream;
  EXPECT_TRUE(stream.wait(std::chrono::milliseconds(1)).empty());
  stream.push(event_of(1));
  EXPECT_EQ(stream.wait(std::chrono::hours(1)).size(), 1U);
}

}  // namespace
}  // namespace sluice
