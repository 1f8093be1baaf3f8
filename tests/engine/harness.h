// What the engine's tests share: requests in one line, an engine on HashRunner, and the answer that
// a request must get, computed without any engine.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "tests/fakes/hash_runner.h"

namespace sluice {

inline constexpr int kTestVocab = 1000;

inline std::vector<TokenId> count_up(int64_t length, TokenId first = 0) {
  std::vector<TokenId> tokens;
  for (int64_t i = 0; i < length; ++i) {
    tokens.push_back(static_cast<TokenId>((first + i) % kTestVocab));
  }
  return tokens;
}

inline std::shared_ptr<Request> make_request(std::string id, std::vector<TokenId> prompt,
                                             int64_t max_tokens) {
  auto request = std::make_shared<Request>();
  request->id = std::move(id);
  request->prompt = std::move(prompt);
  request->sampling.max_tokens = max_tokens;
  request->sampling.temperature = 0;
  request->output = std::make_shared<OutputStream>();
  return request;
}

inline EngineConfig small_config() {
  EngineConfig config;
  config.vocab_size = kTestVocab;
  config.max_model_len = 1024;
  config.num_blocks = 32;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 256;
  config.decode_gap_ms = 1e6;
  return config;
}

inline HashRunner::Options runner_options(const EngineConfig& config) {
  return {.num_blocks = config.num_blocks,
          .vocab_size = config.vocab_size,
          .window = config.window,
          .max_tokens = config.max_num_batched_tokens,
          .max_sequences = config.max_num_seqs,
          .max_logprob_rows = config.max_logprob_rows,
          .on_launch = {},
          .on_collect = {},
          .on_sample = {},
          .is_poisoned = {}};
}

// One choice's events, put together.
struct Answer {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::vector<float> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;
  std::optional<TokenId> stop_id;
  Status error;
  int64_t cached_tokens = 0;
  int num_finishes = 0;
  int num_events = 0;
};

// Adds the events that wait in the request's stream to `answers` [n].
inline void receive(const Request& request, std::vector<Answer>& answers) {
  answers.resize(static_cast<size_t>(request.sampling.n));
  for (TokenEvent& event : request.output->drain()) {
    Answer& answer = answers.at(static_cast<size_t>(event.choice));
    EXPECT_EQ(answer.num_finishes, 0) << "an event after the last one";
    ++answer.num_events;
    if (event.token) answer.tokens.push_back(*event.token);
    if (event.logprob) answer.logprobs.push_back(event.logprob->logprob);
    for (const auto& score : event.prompt_logprobs) {
      EXPECT_EQ(answer.num_events, 1) << "prompt logprobs come first";
      answer.prompt_logprobs.push_back(score.logprob);
    }
    answer.cached_tokens += event.cached_tokens;
    if (event.finish == FinishReason::kNone) continue;
    ++answer.num_finishes;
    answer.finish = event.finish;
    answer.stop_id = event.stop_id;
    answer.error = event.error;
  }
}

inline std::vector<Answer> receive(const Request& request) {
  std::vector<Answer> answers;
  receive(request, answers);
  return answers;
}

// What HashRunner's model answers to one choice that has the machine for itself. The seed must be
// given or irrelevant.
inline Answer expected_answer(const Request& request, int choice, int64_t max_model_len,
                              int window = 0) {
  const SamplingParams& params = request.sampling;
  const auto listed = [](const std::vector<TokenId>& ids, TokenId id) {
    return std::ranges::find(ids, id) != ids.end();
  };
  Answer answer;
  std::vector<TokenId> tokens = request.prompt;
  if (params.prompt_logprobs && choice == 0) {
    for (size_t i = 1; i < tokens.size(); ++i) {
      answer.prompt_logprobs.push_back(
          HashRunner::logprob(std::span(tokens).first(i), tokens[i], window));
    }
  }
  answer.finish = FinishReason::kLength;
  const uint64_t seed = params.seed.value_or(0) + static_cast<uint64_t>(choice);
  std::unique_ptr<Constraint> constraint;
  if (request.grammar) constraint = std::make_unique<Constraint>(request, kTestVocab);
  while (static_cast<int64_t>(answer.tokens.size()) < params.max_tokens &&
         static_cast<int64_t>(tokens.size()) < max_model_len) {
    TokenId next = HashRunner::next_token(tokens, params.greedy(), seed, kTestVocab, window);
    if (constraint) {
      constraint->advance_to(tokens);
      constraint->fill();
      if (constraint->verdict() != Constraint::Verdict::kContinue) {
        const bool ends = constraint->verdict() == Constraint::Verdict::kEnd;
        answer.finish = ends ? FinishReason::kStop : FinishReason::kError;
        break;
      }
      const std::vector<TokenId> allowed =
          HashRunner::allowed_ids(constraint->mask(), request, std::ssize(answer.tokens));
      if (allowed.empty()) {
        answer.finish = FinishReason::kError;
        break;
      }
      next = HashRunner::next_token_of(tokens, params.greedy(), seed, allowed, window);
    }
    if (params.logprobs) answer.logprobs.push_back(HashRunner::logprob(tokens, next, window));
    tokens.push_back(next);
    answer.tokens.push_back(next);
    if (static_cast<int64_t>(answer.tokens.size()) <= params.min_tokens) continue;
    if ((!params.ignore_eos && listed(request.eos_ids, next)) ||
        listed(params.stop_token_ids, next)) {
      answer.finish = FinishReason::kStop;
      answer.stop_id = next;
      break;
    }
  }
  return answer;
}

}  // namespace sluice
