// FakeService: a Service without model and engine, whose answers and timing tests decide.
//
// A token is a byte: tokenize("hi") is {104, 105}. Output token i of a choice is 'a' + i % 26, with
// that letter (or `token_text`) as its text. With `hold`, tokens come only by release().
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/service.h"

namespace sluice {

class FakeService final : public Service {
 public:
  // Set before the first call, or between calls.
  bool hold = false;
  std::optional<std::string> token_text;  // of every output token; its letter if not set
  Status refuse;                          // what generate() fails with
  Status fail;                            // what generations end with, after all their tokens
  std::string stop_string;                // generations end with kStop because of it
  bool throw_bug = false;
  std::latch* gate = nullptr;  // generate() waits for it, as for a long prompt's tokens
  std::atomic<Readiness> state{Readiness::kReady};
  EngineStats stats;

  // Makes up to `count` more tokens of every choice of every live generation.
  void release(int count);
  int live() const;
  int cancelled() const;
  // Waits until none is live; false after ten seconds.
  bool wait_none_live() const;
  GenerateCall last_call() const;

  Result<std::unique_ptr<Generation>> generate(GenerateCall call) override;
  Result<std::vector<TokenId>> tokenize(const GenerateCall& call) const override;
  Result<std::string> detokenize(const std::vector<TokenId>& ids) const override;
  std::string token_spelling(TokenId id) const override;
  ModelInfo model() const override { return {{"tiny", "org/alias"}, 4096, 1700000000}; }
  Readiness readiness() const override { return state; }
  EngineStats engine_stats() const override { return stats; }

 private:
  class FakeGeneration;
  void on_destroyed(FakeGeneration* generation, bool finished);

  mutable std::mutex mutex_;
  mutable std::condition_variable none_live_;
  std::vector<FakeGeneration*> live_;
  int cancelled_ = 0;
  GenerateCall last_call_;
};

}  // namespace sluice
