// EchoRunner: the prompt again, and a window that holds decodes only.
#include "server/cli/echo_runner.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "server/cli/offline.h"

namespace sluice {
namespace {

constexpr int64_t kOutput = 10;

struct Fixture {
  Fixture() {
    auto owned = std::make_unique<EchoRunner>(std::chrono::milliseconds(0));
    runner = owned.get();
    const EngineConfig config{.vocab_size = 100, .max_model_len = 1024, .num_blocks = 64};
    engine = std::make_unique<Engine>(config, std::move(owned));
  }
  std::vector<Completion> run(const std::vector<std::vector<TokenId>>& prompts) const {
    std::vector<OfflineRequest> requests;
    for (const auto& prompt : prompts) {
      SamplingParams sampling;
      sampling.max_tokens = kOutput;
      requests.push_back({prompt, sampling, {}});
    }
    return run_offline(*engine, requests, static_cast<int>(prompts.size())).value();
  }

  EchoRunner* runner = nullptr;
  std::unique_ptr<Engine> engine;
};

TEST(EchoRunner, RepeatsThePrompt) {
  const Fixture fixture;
  const auto completions = fixture.run({{7, 8, 9}, {5}});
  EXPECT_EQ(completions[0].tokens, (std::vector<TokenId>{7, 8, 9, 7, 8, 9, 7, 8, 9, 7}));
  EXPECT_EQ(completions[1].tokens, std::vector<TokenId>(kOutput, 5));
}

TEST(EchoRunner, CountsStepsInWhichAllWatchedSequencesDecode) {
  const Fixture fixture;
  fixture.runner->watch(2);
  fixture.run({{1, 2}});  // never two of them
  EXPECT_EQ(fixture.runner->watched().steps, 0);
  fixture.run({{1, 2}, {3, 4}});
  // The first token comes from the prompt's step; a window lies between two of the others' steps.
  EXPECT_EQ(fixture.runner->watched().steps, kOutput - 2);
  EXPECT_GT(fixture.runner->watched().engine_cpu_s, 0);
  fixture.runner->watch(2);
  EXPECT_EQ(fixture.runner->watched().steps, 0);
}

TEST(EchoRunner, StepsBeginThePeriodApart) {
  constexpr std::chrono::milliseconds kPeriod{5};
  EchoRunner runner(kPeriod);
  runner.launch({});
  const auto first = EchoRunner::Clock::now();
  runner.launch({});
  EXPECT_GE(EchoRunner::Clock::now() - first, kPeriod / 2);
}

}  // namespace
}  // namespace sluice
