// The engine with its thread, and others that submit, cancel, read and stop. Run under
// ThreadSanitizer too.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/text.h"
#include "tests/engine/harness.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{10000};

std::unique_ptr<Engine> start_engine(EngineConfig config, int max_in_flight) {
  HashRunner::Options options = runner_options(config);
  options.max_in_flight = max_in_flight;
  auto engine = std::make_unique<Engine>(config, std::make_unique<HashRunner>(options));
  engine->start();
  return engine;
}

// Reads a request to its end, and cancels it after `cancel_after` events. What was received.
std::vector<Answer> read_to_the_end(Engine& engine, const Request& request, int cancel_after) {
  std::vector<Answer> answers(static_cast<size_t>(request.sampling.n));
  int unfinished = request.sampling.n;
  int num_events = 0;
  while (unfinished > 0) {
    const auto events = request.output->wait(kPatience);
    if (events.empty()) break;
    for (const TokenEvent& event : events) {
      Answer& answer = answers.at(static_cast<size_t>(event.choice));
      if (event.token) answer.tokens.push_back(*event.token);
      if (++num_events == cancel_after) engine.cancel(request.id);
      if (event.finish == FinishReason::kNone) continue;
      answer.finish = event.finish;
      ++answer.num_finishes;
      --unfinished;
    }
  }
  EXPECT_EQ(unfinished, 0) << "no answer in " << kPatience.count() << " ms";
  return answers;
}

TEST(EngineThread, TwoHundredStreamsWithRandomCancelsLeaveNoBlockInUse) {
  constexpr int kThreads = 4;
  constexpr int kStreamsPerThread = 50;
  for (const int max_in_flight : {1, 2}) {
    EngineConfig config = small_config();
    config.num_blocks = 40;  // about ten fit: the others wait or are preempted
    config.max_num_seqs = 64;
    const auto engine = start_engine(config, max_in_flight);
    std::vector<std::thread> clients;
    for (int client = 0; client < kThreads; ++client) {
      clients.emplace_back([&, client] {
        std::mt19937 random(static_cast<unsigned>(client + 1));
        const auto below = [&random](int limit) { return static_cast<int>(random() % limit); };
        std::vector<std::shared_ptr<Request>> requests;
        for (int i = 0; i < kStreamsPerThread; ++i) {
          auto request =
              make_request(str(client, "/", i), count_up(1 + below(200), below(3)), 1 + below(40));
          request->sampling.n = 1 + below(3);
          EXPECT_TRUE(engine->submit(request).ok());
          requests.push_back(std::move(request));
        }
        for (const auto& request : requests) {
          const int cancel_after = below(2) == 0 ? 1 + below(30) : 0;
          const auto answers = read_to_the_end(*engine, *request, cancel_after);
          for (int choice = 0; choice < request->sampling.n; ++choice) {
            const Answer& answer = answers[static_cast<size_t>(choice)];
            Answer expected = expected_answer(*request, choice, config.max_model_len);
            if (answer.finish == FinishReason::kCancelled) {
              expected.tokens.resize(std::min(expected.tokens.size(), answer.tokens.size()));
            }
            EXPECT_EQ(answer.tokens, expected.tokens);
          }
        }
      });
    }
    for (std::thread& client : clients) client.join();
    engine->stop(Engine::Stop::kDrain);
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.kv.blocks_held, 0);
    EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, kThreads * kStreamsPerThread);
    EXPECT_FALSE(stats.failed);
    engine->check_invariants();
  }
}

TEST(EngineThread, StoppingNowHurriesADrain) {
  EngineConfig config = small_config();
  config.max_model_len = 1 << 20;
  config.num_blocks = 1 << 14;
  const auto engine = start_engine(config, 1);
  const auto endless = make_request("endless", count_up(10), 1 << 19);
  ASSERT_TRUE(engine->submit(endless).ok());
  ASSERT_FALSE(endless->output->wait(kPatience).empty());
  std::thread draining([&] { engine->stop(Engine::Stop::kDrain); });
  engine->stop(Engine::Stop::kNow);
  draining.join();
  const auto rest = endless->output->drain();
  ASSERT_FALSE(rest.empty());
  EXPECT_EQ(rest.back().finish, FinishReason::kCancelled);
}

TEST(EngineThread, EverySubmittedRequestIsAnsweredWhenTheEngineStopsMeanwhile) {
  for (int round = 0; round < 20; ++round) {
    const auto engine = start_engine(small_config(), 1 + round % 2);
    std::vector<std::shared_ptr<Request>> accepted;
    std::thread client([&] {
      for (int i = 0; i < 100; ++i) {
        auto request = make_request(str(i), count_up(5), 5);
        if (!engine->submit(request).ok()) return;
        accepted.push_back(std::move(request));
      }
    });
    engine->stop(round % 4 < 2 ? Engine::Stop::kNow : Engine::Stop::kDrain);
    client.join();
    for (const auto& request : accepted) {
      EXPECT_EQ(receive(*request)[0].num_finishes, 1) << request->id;
    }
  }
}

TEST(EngineThread, StatsAndNotifiersMayBeUsedFromAnyThread) {
  const auto engine = start_engine(small_config(), 2);
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    while (!done) EXPECT_GE(engine->stats().kv.blocks_total, 1);
  });
  for (int i = 0; i < 20; ++i) {
    const auto request = make_request(str(i), count_up(5), 20);
    std::atomic<int> wakes = 0;
    request->output->set_notifier([&wakes] { ++wakes; });
    ASSERT_TRUE(engine->submit(request).ok());
    read_to_the_end(*engine, *request, 0);
    request->output->set_notifier(nullptr);  // from here on `wakes` may go
    EXPECT_GE(wakes, 1);
  }
  done = true;
  watcher.join();
}

}  // namespace
}  // namespace sluice
