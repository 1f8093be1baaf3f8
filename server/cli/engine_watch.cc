// The lines of status, and the watchdog.
#include "server/cli/engine_watch.h"

#include <iomanip>
#include <sstream>
#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::string percent(int64_t part, int64_t whole) {
  std::ostringstream out;
  const double share = whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  out << std::fixed << std::setprecision(1) << 100 * share << " %";
  return out.str();
}

std::string rate(int64_t count, double seconds) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1)
      << (seconds > 0 ? static_cast<double>(count) / seconds : 0);
  return out.str();
}

}  // namespace

std::string status_line(const EngineStats& before, const EngineStats& now, double seconds) {
  if (now.steps == before.steps && now.num_running == 0 && now.num_waiting == 0) return {};
  return str("running ", now.num_running, ", waiting ", now.num_waiting, ", prompt ",
             rate(now.prompt_tokens - before.prompt_tokens, seconds), " tok/s, output ",
             rate(now.generation_tokens - before.generation_tokens, seconds), " tok/s, KV ",
             percent(now.kv.blocks_held, now.kv.blocks_total), ", prefix hits ",
             percent(now.kv.prefix_hit_tokens - before.kv.prefix_hit_tokens,
                     now.kv.prefix_query_tokens - before.kv.prefix_query_tokens));
}

std::string engine_state(const EngineStats& stats) {
  return str("running ", stats.num_running, ", waiting ", stats.num_waiting, ", steps ",
             stats.steps, ", last step ", stats.last_step_age_ms, " ms ago, prompt tokens ",
             stats.prompt_tokens, ", output tokens ", stats.generation_tokens, ", preemptions ",
             stats.preemptions, ", finished ", stats.requests_finished, ", cancelled ",
             stats.requests_cancelled, ", failed ", stats.requests_failed, ", KV blocks ",
             stats.kv.blocks_held, " of ", stats.kv.blocks_total,
             stats.failed ? ", the engine has given up" : "");
}

EngineWatch::EngineWatch(Service& service, const EngineWatchOptions& options,
                         std::function<void(const std::string& state)> give_up)
    : service_(service),
      options_(options),
      give_up_(std::move(give_up)),
      thread_([this] { watch(); }) {}

EngineWatch::~EngineWatch() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void EngineWatch::watch() {
  EngineStats before = service_.engine_stats();
  Clock::time_point last_line = Clock::now();
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, options_.period, [this] { return ending_; })) {
    service_.end_overdue();
    const EngineStats now = service_.engine_stats();
    const bool stands =
        options_.give_up_after.count() > 0 && now.last_step_age_ms > options_.give_up_after.count();
    if (stands || now.failed) return give_up_(engine_state(now));
    const Clock::duration since = Clock::now() - last_line;
    if (options_.status_interval.count() == 0 || since < options_.status_interval) continue;
    const std::string line = status_line(before, now, std::chrono::duration<double>(since).count());
    if (!line.empty()) log_info(line);
    before = now;
    last_line += since;
  }
}

}  // namespace sluice
