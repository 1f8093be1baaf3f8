#include "engine/stop_check.h"

#include <gtest/gtest.h>

#include "tests/engine/harness.h"

namespace sluice {
namespace {

constexpr int64_t kLong = 1000;

// A sequence of a prompt of 3 tokens with these output tokens.
Sequence with_output(std::shared_ptr<Request> request, std::vector<TokenId> output) {
  Sequence sequence;
  sequence.tokens = request->prompt;
  sequence.tokens.insert(sequence.tokens.end(), output.begin(), output.end());
  sequence.request = std::move(request);
  return sequence;
}

std::shared_ptr<Request> request_with_stops() {
  auto request = make_request("r", {1, 2, 3}, 4);
  request->eos_ids = {50};
  request->sampling.stop_token_ids = {60, 61};
  return request;
}

TEST(StopCheck, EndsAtAnEndOfSequenceOrStopId) {
  const auto request = request_with_stops();
  EXPECT_EQ(check_stop(with_output(request, {9}), kLong), FinishReason::kNone);
  EXPECT_EQ(check_stop(with_output(request, {50}), kLong), FinishReason::kStop);
  EXPECT_EQ(check_stop(with_output(request, {9, 61}), kLong), FinishReason::kStop);
  EXPECT_EQ(check_stop(with_output(request, {50, 9}), kLong), FinishReason::kNone);
}

TEST(StopCheck, IgnoreEosKeepsTheStopIds) {
  const auto request = request_with_stops();
  request->sampling.ignore_eos = true;
  EXPECT_EQ(check_stop(with_output(request, {50}), kLong), FinishReason::kNone);
  EXPECT_EQ(check_stop(with_output(request, {60}), kLong), FinishReason::kStop);
}

TEST(StopCheck, NothingStopsBeforeMinTokensButLength) {
  const auto request = request_with_stops();
  request->sampling.min_tokens = 2;
  EXPECT_EQ(check_stop(with_output(request, {9, 50}), kLong), FinishReason::kNone);
  EXPECT_EQ(check_stop(with_output(request, {9, 9, 50}), kLong), FinishReason::kStop);
  EXPECT_EQ(check_stop(with_output(request, {9, 50}), 5), FinishReason::kLength);
}

TEST(StopCheck, AStopIdAtTheLimitIsAStop) {
  const auto request = request_with_stops();
  EXPECT_EQ(check_stop(with_output(request, {9, 9, 9, 9}), kLong), FinishReason::kLength);
  EXPECT_EQ(check_stop(with_output(request, {9, 9, 9, 50}), kLong), FinishReason::kStop);
}

}  // namespace
}  // namespace sluice
