// Lines of status, and when the watch gives up.
#include "server/cli/engine_watch.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/fakes/fake_service.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

TEST(StatusLine, TellsRatesOfTheInterval) {
  EngineStats before;
  before.steps = 10;
  before.generation_tokens = 100;
  before.prompt_tokens = 50;
  before.kv.prefix_query_tokens = 1000;
  EngineStats now = before;
  now.steps = 12;
  now.num_running = 3;
  now.num_waiting = 1;
  now.generation_tokens = 150;
  now.prompt_tokens = 90;
  now.kv.blocks_held = 1;
  now.kv.blocks_total = 8;
  now.kv.prefix_query_tokens = 1040;
  now.kv.prefix_hit_tokens = 30;
  EXPECT_EQ(status_line(before, now, 10),
            "running 3, waiting 1, prompt 4.0 tok/s, output 5.0 tok/s, KV 12.5 %, prefix hits 75.0 "
            "%");
}

TEST(StatusLine, IsEmptyWithoutWork) {
  EngineStats idle;
  idle.steps = 7;
  EXPECT_EQ(status_line(idle, idle, 10), "");
  EngineStats stuck = idle;
  stuck.num_waiting = 1;
  EXPECT_NE(status_line(idle, stuck, 10), "");
}

class EngineWatchTest : public testing::Test {
 protected:
  // The state with which a watch gives up; empty: it does not within 50 looks.
  std::string given_up() {
    std::promise<std::string> promise;
    std::future<std::string> state = promise.get_future();
    const EngineWatch watch(service, options,
                            [&](const std::string& why) { promise.set_value(why); });
    const bool gave_up = state.wait_for(50 * options.period) == std::future_status::ready;
    return gave_up ? state.get() : "";
  }

  FakeService service;
  EngineWatchOptions options{.status_interval = milliseconds(0),
                             .give_up_after = milliseconds(500),
                             .period = milliseconds(2)};
};

TEST_F(EngineWatchTest, GivesUpOnAnEngineThatStands) {
  service.stats.last_step_age_ms = 501;
  service.stats.num_running = 2;
  EXPECT_NE(given_up().find("running 2"), std::string::npos);
}

TEST_F(EngineWatchTest, GivesUpOnAnEngineThatHasFailed) {
  service.stats.failed = true;
  options.give_up_after = milliseconds(0);
  EXPECT_NE(given_up().find("given up"), std::string::npos);
}

TEST_F(EngineWatchTest, LeavesAnEngineAloneThatMoves) {
  service.stats.last_step_age_ms = 500;
  EXPECT_EQ(given_up(), "");
  service.stats.last_step_age_ms = 1'000'000;
  options.give_up_after = milliseconds(0);
  EXPECT_EQ(given_up(), "");
}

}  // namespace
}  // namespace sluice
