// Engine: its thread-safe ends and the turn of the loop. engine_outcomes.cc has the ways out.
#include "engine/engine.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/mix.h"
#include "base/text.h"
#include "engine/admission.h"

namespace sluice {
namespace {

// How long the idle loop sleeps at most; a submission or a stop wakes it.
constexpr std::chrono::milliseconds kIdlePatience{1000};

double to_ms(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

Engine::Engine(const EngineConfig& config, std::unique_ptr<ModelRunner> runner, Clock clock)
    : config_(config),
      runner_(std::move(runner)),
      clock_(std::move(clock)),
      queue_(static_cast<size_t>(config.max_queued_requests)),
      kv_({.num_blocks = config.num_blocks, .enable_prefix_caching = config.enable_prefix_caching}),
      scheduler_({.max_num_seqs = config.max_num_seqs,
                  .max_model_len = config.max_model_len,
                  .window = config.window,
                  .row_tile = config.row_tile},
                 kv_),
      governor_(config.decode_gap_ms, config.min_prefill_tokens, config.max_num_batched_tokens),
      masks_(config.mask_threads) {
  const Status valid = config.validate();
  if (!valid.ok()) fail_check(__FILE__, __LINE__, valid.message());
  const int depth = runner_->max_in_flight();
  SLUICE_CHECK(depth == 1 || depth == 2);  // Scheduler::schedule: at most one step not yet applied
  in_flight_.resize(static_cast<size_t>(depth));
  last_progress_ = last_collect_ = now_ = clock_();
  publish_stats();
}

Engine::~Engine() { stop(Stop::kNow); }

// ---- the thread-safe ends ----

Status Engine::admit(const Request& request) const {
  if (failed_) return stopped_after_a_bug();
  return check_admissible(request, config_);
}

Status Engine::submit(RequestPtr request) {
  SLUICE_RETURN_IF_ERROR(admit(*request));
  return queue_.submit(std::move(request));
}

void Engine::cancel(const std::string& id, int choice) { queue_.cancel(id, choice); }

void Engine::reset_prefix_cache() { reset_prefix_cache_ = true; }

void Engine::start() {
  const std::lock_guard lock(thread_mutex_);
  SLUICE_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { loop(); });
}

void Engine::stop(Stop how) {
  if (how == Stop::kNow) stop_now_ = true;
  queue_.close();
  const std::lock_guard lock(thread_mutex_);
  if (thread_.joinable()) thread_.join();
  while (turn(std::chrono::milliseconds(0))) {  // without a thread, the caller is the loop
  }
}

EngineStats Engine::stats() const {
  const TimePoint now = clock_();
  const std::lock_guard lock(stats_mutex_);
  EngineStats stats = published_;
  if (stats.num_running + stats.num_waiting > 0) {
    stats.last_step_age_ms = static_cast<int64_t>(to_ms(now - last_progress_));
  }
  return stats;
}

// ---- the loop ----

void Engine::loop() {
  pthread_setname_np(pthread_self(), "sluice-engine");  // in top -H and debuggers
  do {
    turn(idle() ? kIdlePatience : std::chrono::milliseconds(0));
  } while (!queue_closed_ || !idle());
}

bool Engine::step() { return turn(std::chrono::milliseconds(0)); }

bool Engine::turn(std::chrono::milliseconds patience) {
  RequestQueue::Drained inbox = queue_.drain(patience);
  queue_closed_ = inbox.closed;
  bool busy = !inbox.submitted.empty() || !inbox.cancelled.empty();
  try {
    busy |= run_turn(inbox);
  } catch (const std::exception& error) {
    give_up(inbox, error.what());
  }
  return busy && !failed_;
}

// False: there was nothing to compute.
bool Engine::run_turn(RequestQueue::Drained& inbox) {
  if (failed_) return false;
  now_ = clock_();
  const bool was_idle = idle();
  take_in(inbox);
  if (stop_now_) {
    end_all(FinishReason::kCancelled, {StatusCode::kCancelled, "the server is shutting down"});
  }
  if (reset_prefix_cache_.exchange(false)) kv_.drop_cached();
  if (was_idle && !idle()) {  // from now on, time counts
    const std::lock_guard lock(stats_mutex_);
    last_progress_ = now_;
    published_.num_waiting = scheduler_.num_waiting();
  }

  const bool launched = launch_next();
  sample_newest();
  const bool full = num_in_flight_ == in_flight_.size();
  const bool collect = num_in_flight_ > 0 && (full || !launched);
  if (collect) {
    collect_oldest();
    sample_newest();
  }
  SLUICE_CHECK(launched || collect || !scheduler_.has_sequences());  // work waits, nothing can run
  queue_.set_waiting(static_cast<size_t>(scheduler_.num_unstarted_requests()));
  publish_stats();
  return launched || collect;
}

void Engine::take_in(RequestQueue::Drained& inbox) {
  // Taken out, so that give_up() can tell who was taken in.
  for (RequestPtr& request : inbox.submitted) open(std::exchange(request, nullptr));
  for (const RequestQueue::Cancellation& wish : inbox.cancelled) {
    const Status why(StatusCode::kCancelled, "cancelled by the client");
    if (wish.choice == kAllChoices) {
      end_request(wish.id, FinishReason::kCancelled, why);
      continue;
    }
    const auto found = active_.find(wish.id);
    if (found == active_.end()) continue;
    const std::vector<SequencePtr>& choices = found->second.choices;
    if (wish.choice < 0 || wish.choice >= static_cast<int>(choices.size())) continue;
    end_choice(SequencePtr(choices[static_cast<size_t>(wish.choice)]), FinishReason::kCancelled,
               why);
  }
}

void Engine::open(const RequestPtr& request) {
  const SamplingParams& sampling = request->sampling;
  const auto [place, is_new] = active_.try_emplace(request->id);
  if (!is_new) {
    refuse(*request, invalid_argument(str("a request with the id '", request->id,
                                          "' is running; ids must be unique")));
    return;
  }
  const uint64_t order = num_opened_++;
  const uint64_t seed = sampling.seed.value_or(mix64(config_.seed + mix64(order + 1)));
  Active& active = place->second;
  active.unfinished = sampling.n;
  for (int choice = 0; choice < sampling.n; ++choice) {
    auto sequence = std::make_shared<Sequence>();
    sequence->request = request;
    sequence->choice = choice;
    sequence->tokens = request->prompt;
    sequence->seed = seed + static_cast<uint64_t>(choice);
    sequence->order = order;
    active.choices.push_back(std::move(sequence));
  }
  scheduler_.add(active.choices);
}

bool Engine::launch_next() {
  if (num_in_flight_ == in_flight_.size()) return false;
  InFlight& slot = in_flight_[(oldest_ + num_in_flight_) % in_flight_.size()];
  const StepBudget budget{.max_tokens = config_.max_num_batched_tokens,
                          .max_prefill_tokens = governor_.budget(),
                          .min_prefill_tokens = config_.min_prefill_tokens,
                          .max_logprob_rows = config_.max_logprob_rows};
  scheduler_.schedule(budget, slot.plan);
  if (slot.plan.entries.empty()) return false;
  slot.launched = clock_();
  start_masks(slot.plan);
  try {
    slot.ticket = runner_->launch(slot.plan);
  } catch (const std::exception& error) {
    fail_step(slot.plan, error.what());
    return true;  // it had its turn
  }
  scheduler_.launched(slot.plan);
  slot.awaits_masks = slot.plan.masked();
  ++num_in_flight_;
  return true;
}

void Engine::collect_oldest() {
  InFlight& slot = in_flight_[oldest_];
  oldest_ = (oldest_ + 1) % in_flight_.size();
  --num_in_flight_;
  StepResult result;
  try {
    result = runner_->collect(slot.ticket);
    SLUICE_CHECK_EQ(result.outputs.size(), slot.plan.entries.size());
  } catch (const std::exception& error) {
    fail_step(slot.plan, error.what());
    return;
  }
  failures_in_a_row_ = 0;
  ++counters_.steps;
  now_ = clock_();
  const TimePoint began = std::max(slot.launched, std::exchange(last_collect_, now_));
  StepFigures step{.ms = to_ms(now_ - began)};
  for (size_t i = 0; i < result.outputs.size(); ++i) {
    const StepEntry& entry = slot.plan.entries[i];
    (entry.num_new == 1 ? step.decodes : step.prompt_tokens) += entry.num_new;
    apply(entry, result.outputs[i]);
  }
  governor_.observe(step.decodes, step.prompt_tokens, step.ms);
  counters_.last_step = step;
  slot.plan.entries.clear();  // lets finished sequences go
}

void Engine::publish_stats() {
  counters_.num_running = failed_ ? 0 : scheduler_.num_running();
  counters_.num_waiting = failed_ ? 0 : scheduler_.num_waiting();
  const Scheduler::Stats& scheduled = scheduler_.stats();
  counters_.preemptions = scheduled.preemptions;
  counters_.kv = kv_.stats();
  counters_.kv.prefix_query_tokens = scheduled.prefix_query_tokens;
  counters_.kv.prefix_hit_tokens = scheduled.prefix_hit_tokens;
  const std::lock_guard lock(stats_mutex_);
  last_progress_ = std::max(last_progress_, last_collect_);
  published_ = counters_;
}

}  // namespace sluice
