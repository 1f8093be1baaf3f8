#include "engine/admission.h"

#include <gtest/gtest.h>

#include "tests/engine/harness.h"

namespace sluice {
namespace {

Status check(int64_t prompt_len, int64_t max_tokens, const EngineConfig& config) {
  return check_admissible(*make_request("r", count_up(prompt_len), max_tokens), config);
}

TEST(Admission, HoldsPromptAndAnswerAgainstTheModelsLength) {
  EngineConfig config = small_config();
  config.max_model_len = 100;
  EXPECT_TRUE(check(60, 40, config).ok());
  const Status too_many = check(60, 41, config);
  EXPECT_EQ(too_many.field(), "max_tokens");
  EXPECT_NE(too_many.message().find("at most 40"), std::string::npos) << too_many.message();
  const Status too_long = check(100, 1, config);
  EXPECT_EQ(too_long.field(), "prompt");
  EXPECT_NE(too_long.message().find("100"), std::string::npos) << too_long.message();
  EXPECT_FALSE(check(1, std::numeric_limits<int64_t>::max(), config).ok());
}

TEST(Admission, HoldsThemAgainstTheWholeCache) {
  EngineConfig config = small_config();
  config.num_blocks = 2;
  EXPECT_TRUE(check(100, 29, config).ok());  // the last token is never computed on
  const Status status = check(100, 30, config);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("128"), std::string::npos) << status.message();
}

TEST(Admission, ChecksPromptIds) {
  const EngineConfig config = small_config();
  EXPECT_EQ(check(0, 5, config).field(), "prompt");
  for (const TokenId bad : {-1, kTestVocab}) {
    const auto request = make_request("r", {1, bad}, 5);
    EXPECT_EQ(check_admissible(*request, config).field(), "prompt");
  }
}

TEST(Admission, ChecksParameters) {
  const auto request = make_request("r", {1}, 5);
  request->sampling.n = 1000;
  EXPECT_EQ(check_admissible(*request, small_config()).field(), "n");
}

// It was a 500 once: the sampler met a row without any finite logit.
TEST(Admission, RefusesARequestThatForbidsEveryToken) {
  const auto request = make_request("r", {1}, 5);
  SamplingParams& sampling = request->sampling;
  sampling.allowed_token_ids = {3, 4};
  sampling.banned_token_ids = {4};
  EXPECT_TRUE(check_admissible(*request, small_config()).ok());
  sampling.banned_token_ids = {4, 3, 4};
  EXPECT_EQ(check_admissible(*request, small_config()).field(), "allowed_token_ids");
  sampling.banned_token_ids = {4};
  sampling.stop_token_ids = {3};
  EXPECT_TRUE(check_admissible(*request, small_config()).ok());
  sampling.min_tokens = 1;
  EXPECT_EQ(check_admissible(*request, small_config()).code(), StatusCode::kInvalidArgument);
  sampling.allowed_token_ids.clear();
  for (TokenId id = 0; id < kTestVocab; ++id) sampling.banned_token_ids.push_back(id);
  EXPECT_EQ(check_admissible(*request, small_config()).field(), "banned_token_ids");
}

TEST(EngineConfig, NamesTheBoundThatIsWrong) {
  EXPECT_TRUE(small_config().validate().ok());
  EngineConfig config = small_config();
  config.decode_gap_ms = 0;
  EXPECT_EQ(config.validate().field(), "decode_gap_ms");
  config = small_config();
  config.num_blocks = 0;
  EXPECT_EQ(config.validate().field(), "num_blocks");
}

}  // namespace
}  // namespace sluice
