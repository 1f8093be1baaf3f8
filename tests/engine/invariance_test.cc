// A request's output and logprobs are the same bits whatever happens around it: alone, in a crowd,
// in small chunks, after preemption, on a prefix hit, with two steps in flight. The embedded model,
// the whole engine, the CPU backend in bfloat16.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "engine/engine.h"
#include "engine/model/model_loader.h"
#include "engine/runner/local_runner.h"
#include "kernels/backend.h"
#include "kvcache/kv_storage.h"

namespace sluice {
namespace {

const std::string kModel = std::string(SLUICE_SOURCE_DIR) + "/models/sluice-tiny";

// Everything that a client sees of one choice; compared to the bit.
struct Outcome {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;  // of tokens and of the best beside them, then of the prompt
  std::vector<TokenId> top_ids;
  FinishReason finish = FinishReason::kNone;

  bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  for (size_t i = 0; i < outcome.tokens.size(); ++i)
    out << outcome.tokens[i] << " (" << outcome.logprobs[i] << ") ";
  return out;
}

class InvarianceTest : public testing::Test {
 protected:
  InvarianceTest()
      : backend_(make_cpu_backend(/*num_threads=*/2)),
        model_config_(read_model_config(kModel).value()),
        model_(load_decoder_model({.path = kModel, .max_model_len = 1024}, model_config_, *backend_)
                   .value()) {
    std::ifstream in(kModel + "/golden/golden.json");
    for (const auto& entry : nlohmann::json::parse(in))
      prompts_.push_back(entry["prompt_ids"].get<std::vector<TokenId>>());
    config_.vocab_size = model_config_.vocab_size;
    config_.max_model_len = 1024;
    config_.num_blocks = 128;
    config_.max_num_batched_tokens = 512;
    config_.decode_gap_ms = 1e6;
  }

  // An engine with a fresh cache.
  std::unique_ptr<Engine> make_engine(int max_in_flight = 1) {
    storage_ = std::make_unique<KvStorage>(
        KvStorage::create(*backend_, model_->kv_layout(DType::kBF16), config_.num_blocks).value());
    StepMemory memory =
        StepMemory::create(*backend_, *model_,
                           {.max_num_batched_tokens = config_.max_num_batched_tokens,
                            .max_in_flight = max_in_flight})
            .value();
    auto runner = std::make_unique<LocalRunner>(*backend_, *model_, *storage_, std::move(memory));
    return std::make_unique<Engine>(config_, std::move(runner));
  }

  std::shared_ptr<Request> make_request(std::vector<TokenId> prompt, int64_t max_tokens) {
    auto request = std::make_shared<Request>();
    request->id = str("r", num_requests_++);
    request->prompt = std::move(prompt);
    request->sampling.max_tokens = max_tokens;
    request->sampling.temperature = 0;
    request->output = std::make_shared<OutputStream>();
    return request;
  }

  // The request that must not notice anything: a prompt of six blocks, every kind of sampling.
  std::shared_ptr<Request> make_probe(bool score_prompt) {
    auto request = make_request(prompts_.at(9), 24);
    EXPECT_EQ(request->prompt.size(), 326U);
    SamplingParams& params = request->sampling;
    params.temperature = 4.0F;
    params.top_p = 0.98F;
    params.seed = 7;
    params.repetition_penalty = 1.2F;
    params.presence_penalty = 0.5F;
    params.logprobs = true;
    params.num_top_logprobs = 5;
    params.prompt_logprobs = score_prompt;
    params.num_prompt_top_logprobs = score_prompt ? 3 : 0;
    return request;
  }

  static void submit(Engine& engine, const RequestPtr& request) {
    const Status status = engine.submit(request);
    ASSERT_TRUE(status.ok()) << status.message();
  }

  static Outcome outcome_of(const Request& request, int64_t* cached_tokens = nullptr) {
    Outcome outcome;
    std::vector<TokenLogprob> logprobs;
    auto events = request.output->drain();
    std::ranges::stable_sort(events, {}, &TokenEvent::choice);
    for (TokenEvent& event : events) {
      EXPECT_TRUE(event.error.ok()) << event.error.message();
      if (event.token) outcome.tokens.push_back(*event.token);
      if (event.logprob) outcome.logprobs.push_back(event.logprob->logprob);
      if (event.logprob) logprobs.push_back(*event.logprob);
      logprobs.insert(logprobs.end(), event.prompt_logprobs.begin(), event.prompt_logprobs.end());
      if (event.finish != FinishReason::kNone) outcome.finish = event.finish;
      if (cached_tokens != nullptr) *cached_tokens += event.cached_tokens;
    }
    for (const TokenLogprob& logprob : logprobs) {
      outcome.logprobs.push_back(logprob.logprob);
      for (const TopLogprob& top : logprob.top) {
        outcome.logprobs.push_back(top.logprob);
        outcome.top_ids.push_back(top.id);
      }
    }
    return outcome;
  }

  Outcome run_alone(bool score_prompt) {
    const auto engine = make_engine();
    const auto probe = make_probe(score_prompt);
    submit(*engine, probe);
    while (engine->step()) {
    }
    const Outcome outcome = outcome_of(*probe);
    EXPECT_EQ(outcome.tokens.size(), 24U);
    EXPECT_EQ(outcome.top_ids.size(), 24U * 5 + (score_prompt ? 325U * 3 : 0));
    return outcome;
  }

  std::unique_ptr<Backend> backend_;
  ModelConfig model_config_;
  std::unique_ptr<DecoderModel> model_;
  std::unique_ptr<KvStorage> storage_;
  std::vector<std::vector<TokenId>> prompts_;
  EngineConfig config_;
  int num_requests_ = 0;
};

TEST_F(InvarianceTest, TheBackendPromisesIt) { EXPECT_TRUE(backend_->batch_invariant()); }

TEST_F(InvarianceTest, InABatchOf64Others) {
  const Outcome alone = run_alone(/*score_prompt=*/true);
  const auto engine = make_engine();
  const auto probe = make_probe(/*score_prompt=*/true);
  std::vector<std::shared_ptr<Request>> others;
  for (int i = 0; i < 64; ++i) {
    others.push_back(make_request(prompts_[static_cast<size_t>(i % 9)], 4 + i % 16));
    others.back()->sampling.temperature = i % 2 == 0 ? 0.0F : 1.0F;
    others.back()->sampling.seed = i;
    submit(*engine, others.back());
    if (i == 32) submit(*engine, probe);
  }
  while (engine->step()) {
  }
  EXPECT_EQ(outcome_of(*probe), alone);
}

TEST_F(InvarianceTest, InChunksOfSevenTokens) {
  const Outcome alone = run_alone(/*score_prompt=*/true);
  config_.max_num_batched_tokens = 7;
  config_.max_num_seqs = 4;
  EXPECT_EQ(run_alone(/*score_prompt=*/true), alone);
}

TEST_F(InvarianceTest, AfterPreemption) {
  const Outcome alone = run_alone(/*score_prompt=*/false);
  // The earlier request grows into a block that only the probe can give.
  config_.num_blocks = 7;
  config_.enable_prefix_caching = false;
  const auto engine = make_engine();
  const auto earlier = make_request(std::vector<TokenId>(60, 100), 20);
  earlier->sampling.ignore_eos = true;
  const auto probe = make_probe(/*score_prompt=*/false);
  submit(*engine, earlier);
  submit(*engine, probe);
  while (engine->step()) {
  }
  EXPECT_GE(engine->stats().preemptions, 1);
  EXPECT_EQ(outcome_of(*probe), alone);
}

TEST_F(InvarianceTest, OnAPrefixHit) {
  const Outcome alone = run_alone(/*score_prompt=*/false);
  const auto engine = make_engine();
  for (const int64_t expected_hit : {int64_t{0}, int64_t{320}}) {
    const auto probe = make_probe(/*score_prompt=*/false);
    submit(*engine, probe);
    while (engine->step()) {
    }
    int64_t cached_tokens = 0;
    EXPECT_EQ(outcome_of(*probe, &cached_tokens), alone);
    EXPECT_EQ(cached_tokens, expected_hit);
  }
}

// Requests of every kind, too many for the cache, some cancelled on the way: what each of them gets
// does not depend on whether the runner computes a step ahead of the tokens that the engine knows.
TEST_F(InvarianceTest, WithTwoStepsInFlight) {
  config_.num_blocks = 12;
  config_.max_num_seqs = 8;
  config_.max_num_batched_tokens = 96;
  const auto run = [&](int max_in_flight) {
    num_requests_ = 0;
    const auto engine = make_engine(max_in_flight);
    std::vector<std::shared_ptr<Request>> requests;
    for (int i = 0; i < 24; ++i) {
      const auto begin = prompts_.at(9).begin() + i * 7;
      requests.push_back(make_request({begin, begin + 10 + i * 17 % 120}, 3 + i * 5 % 40));
      Request& request = *requests.back();
      SamplingParams& params = request.sampling;
      params.temperature = i % 3 == 0 ? 0.0F : 1.5F;
      params.seed = i;
      params.n = i % 8 == 7 ? 2 : 1;
      if (i % 2 == 0) params.repetition_penalty = 1.3F;
      if (i % 4 == 1) params.frequency_penalty = 0.7F;
      if (i % 5 == 1) params.presence_penalty = 0.9F;
      params.min_tokens = i % 4;
      params.ignore_eos = i % 3 == 1;
      params.logprobs = i % 3 != 1;
      params.num_top_logprobs = params.logprobs ? i % 6 : 0;
      params.prompt_logprobs = i == 5;
      if (i % 3 == 2) params.stop_token_ids.assign(prompts_[9].begin(), prompts_[9].begin() + 128);
      request.eos_ids = {2};
      submit(*engine, requests.back());
    }
    for (int turn = 0; engine->step(); ++turn) {
      engine->check_invariants();
      if (turn % 9 == 4) engine->cancel(requests[static_cast<size_t>(turn / 9 * 4 % 24)]->id);
    }
    EXPECT_GE(engine->stats().preemptions, 1);
    std::vector<Outcome> outcomes;
    for (const auto& request : requests) outcomes.push_back(outcome_of(*request));
    return outcomes;
  };
  const std::vector<Outcome> one = run(1), two = run(2);
  int whole = 0, stopped = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "request " << i);
    const bool cancelled =
        one[i].finish == FinishReason::kCancelled || two[i].finish == FinishReason::kCancelled;
    if (!cancelled) {
      EXPECT_EQ(two[i], one[i]);
      ++whole;
      stopped += two[i].finish == FinishReason::kStop ? 1 : 0;
      continue;
    }
    const size_t common = std::min(one[i].tokens.size(), two[i].tokens.size());
    EXPECT_TRUE(
        std::equal(one[i].tokens.begin(), one[i].tokens.begin() + common, two[i].tokens.begin()));
  }
  EXPECT_GE(whole, 12);
  EXPECT_GE(stopped, 2);
  EXPECT_LT(whole, 24);
}

TEST_F(InvarianceTest, AmongTheChoicesOfOneRequest) {
  const auto engine = make_engine();
  auto request = make_request(prompts_[9], 6);
  request->sampling.n = 3;
  request->sampling.temperature = 4.0F;
  request->sampling.seed = 11;
  submit(*engine, request);
  while (engine->step()) {
  }
  std::vector<std::vector<TokenId>> choices(3);
  for (const TokenEvent& event : request->output->drain())
    if (event.token) choices.at(static_cast<size_t>(event.choice)).push_back(*event.token);
  for (int choice = 0; choice < 3; ++choice) {
    auto single = make_request(prompts_[9], 6);  // choice i uses seed + i
    single->sampling.temperature = 4.0F;
    single->sampling.seed = static_cast<uint64_t>(11 + choice);
    submit(*engine, single);
    while (engine->step()) {
    }
    EXPECT_EQ(outcome_of(*single).tokens, choices[static_cast<size_t>(choice)]);
  }
  EXPECT_NE(choices[0], choices[1]);
}

}  // namespace
}  // namespace sluice
