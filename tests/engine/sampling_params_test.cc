#include "engine/sampling_params.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sluice {
namespace {

constexpr int kVocab = 100;

// Expects a refusal that names `field`.
template <typename Change>
void expect_refused(const char* field, Change change) {
  SamplingParams params;
  change(params);
  const Status status = params.validate(kVocab);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
  EXPECT_EQ(status.field(), field) << status.message();
  EXPECT_NE(status.message().find(field), std::string::npos) << status.message();
}

TEST(SamplingParams, DefaultsAreValid) { EXPECT_TRUE(SamplingParams().validate(kVocab).ok()); }

TEST(SamplingParams, NamesTheFieldThatIsOutOfRange) {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int n : {0, -1, kMaxChoices + 1}) {
    expect_refused("n", [n](auto& params) { params.n = n; });
  }
  expect_refused("max_tokens", [](auto& params) { params.max_tokens = 0; });
  expect_refused("min_tokens", [](auto& params) { params.min_tokens = 17; });
  expect_refused("min_tokens", [](auto& params) { params.min_tokens = -1; });
  for (const float bad : {nan, infinity, -0.1F}) {
    expect_refused("temperature", [bad](auto& params) { params.temperature = bad; });
    expect_refused("top_p", [bad](auto& params) { params.top_p = bad; });
    expect_refused("min_p", [bad](auto& params) { params.min_p = bad; });
    expect_refused("repetition_penalty", [bad](auto& params) { params.repetition_penalty = bad; });
  }
  expect_refused("top_p", [](auto& params) { params.top_p = 0; });
  expect_refused("top_k", [](auto& params) { params.top_k = -2; });
  for (const float bad : {nan, 2.1F, -2.1F}) {
    expect_refused("presence_penalty", [bad](auto& params) { params.presence_penalty = bad; });
    expect_refused("frequency_penalty", [bad](auto& params) { params.frequency_penalty = bad; });
  }
}

TEST(SamplingParams, ChecksIdsAndListSizes) {
  expect_refused("stop_token_ids", [](auto& params) { params.stop_token_ids = {kVocab}; });
  expect_refused("stop_token_ids",
                 [](auto& params) { params.stop_token_ids.assign(kMaxStopIds + 1, 1); });
  expect_refused("allowed_token_ids", [](auto& params) { params.allowed_token_ids = {-1}; });
  expect_refused("banned_token_ids",
                 [](auto& params) { params.banned_token_ids.assign(kMaxListedIds + 1, 1); });
  expect_refused("logit_bias", [](auto& params) { params.logit_bias = {{kVocab, 1.0F}}; });
  expect_refused("logit_bias", [](auto& params) { params.logit_bias = {{1, 101.0F}}; });
  expect_refused("logit_bias", [](auto& params) { params.logit_bias = {{1, std::nanf("")}}; });
}

TEST(SamplingParams, TopLogprobsNeedLogprobs) {
  expect_refused("top_logprobs", [](auto& params) { params.num_top_logprobs = 5; });
  expect_refused("top_logprobs", [](auto& params) {
    params.logprobs = true;
    params.num_top_logprobs = 21;
  });
  expect_refused("prompt_logprobs", [](auto& params) { params.num_prompt_top_logprobs = 1; });
  SamplingParams params;
  params.logprobs = params.prompt_logprobs = true;
  params.num_top_logprobs = params.num_prompt_top_logprobs = 20;
  params.max_tokens = 0;  // scoring only
  EXPECT_TRUE(params.validate(kVocab).ok());
}

}  // namespace
}  // namespace sluice
