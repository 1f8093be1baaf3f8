// Engine: what the results and failures of steps mean for requests. Every event is made here.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/stop_check.h"

namespace sluice {
namespace {

// A device that fails this many steps in a row will not recover.
constexpr int kMaxFailuresInARow = 3;

// Whether the request itself forbids tokens that its grammar may need.
bool narrows_grammar(const Request& request) {
  const SamplingParams& sampling = request.sampling;
  return !sampling.allowed_token_ids.empty() || !sampling.banned_token_ids.empty() ||
         sampling.min_tokens > 0;
}

}  // namespace

void Engine::apply(const StepEntry& entry, StepOutput& output) {
  Sequence& sequence = *entry.sequence;
  if (sequence.state == SequenceState::kFinished) return;  // the surplus token of a stopped one
  const auto is_nan = [](const TokenLogprob& score) { return std::isnan(score.logprob); };
  const bool scored_nan = std::ranges::any_of(output.prompt_logprobs, is_nan);
  if (scored_nan || (entry.samples && output.token < 0)) {
    const bool left_none = !scored_nan && entry.masked && narrows_grammar(*sequence.request);
    end_request(sequence.request->id, FinishReason::kError,
                left_none ? invalid_argument(
                                "allowed_token_ids, banned_token_ids or min_tokens leave no token "
                                "of those that the grammar of this request allows")
                          : Status(StatusCode::kInternal,
                                   "the model computed logits that are not finite numbers"));
    return;
  }
  SLUICE_CHECK_LT(output.token, config_.vocab_size);
  SLUICE_CHECK_EQ(static_cast<int64_t>(output.prompt_logprobs.size()),
                  entry.score_last - entry.score_first);
  std::ranges::move(output.prompt_logprobs, std::back_inserter(sequence.prompt_logprobs));
  const int64_t last = entry.first + entry.num_new;
  counters_.prompt_tokens +=
      std::max<int64_t>(0, std::min(last, sequence.prompt_len()) - entry.first);
  scheduler_.apply(entry, output.token);
  if (entry.samples) {
    apply_sampled(entry, output);
  } else if (sequence.request->sampling.max_tokens == 0 && last == sequence.prompt_len()) {
    end_choice(entry.sequence, FinishReason::kLength, {});
  }
}

void Engine::apply_sampled(const StepEntry& entry, StepOutput& output) {
  Sequence& sequence = *entry.sequence;
  if (sequence.num_output() - sequence.num_pending > 1) {
    const std::chrono::duration<double, std::milli> gap = now_ - sequence.last_token_time;
    counters_.decode_gap_ms_max = std::max(counters_.decode_gap_ms_max, gap.count());
  }
  sequence.last_token_time = now_;
  ++counters_.generation_tokens;
  TokenEvent event;
  event.token = output.token;
  if (sequence.request->sampling.logprobs) event.logprob = std::move(output.logprob);
  event.finish = check_stop(sequence, config_.max_model_len);
  if (event.finish == FinishReason::kNone) {
    emit(sequence, std::move(event));
    return;
  }
  if (event.finish == FinishReason::kStop) event.stop_id = output.token;
  finish_choice(entry.sequence, std::move(event));
}

void Engine::emit(Sequence& sequence, TokenEvent event) {
  event.choice = sequence.choice;
  event.time = now_;
  if (!sequence.started && sequence.choice == 0) {
    event.cached_tokens = sequence.cached_tokens;
    event.prompt_logprobs = std::exchange(sequence.prompt_logprobs, {});
  }
  sequence.started = true;
  sequence.request->output->push(std::move(event));
}

void Engine::finish_choice(const SequencePtr& sequence, TokenEvent event) {
  const FinishReason finish = event.finish;
  scheduler_.remove(sequence);
  emit(*sequence, std::move(event));
  const auto place = active_.find(sequence->request->id);
  SLUICE_CHECK(place != active_.end());
  Active& active = place->second;
  active.cancelled |= finish == FinishReason::kCancelled;
  active.failed |= finish == FinishReason::kError;
  if (--active.unfinished > 0) return;
  ++(active.failed      ? counters_.requests_failed
     : active.cancelled ? counters_.requests_cancelled
                        : counters_.requests_finished);
  active_.erase(place);
}

void Engine::end_choice(const SequencePtr& sequence, FinishReason finish, const Status& why) {
  if (sequence->state == SequenceState::kFinished) return;
  TokenEvent event;
  event.finish = finish;
  if (finish == FinishReason::kError) event.error = why;
  finish_choice(sequence, std::move(event));
}

void Engine::end_request(const std::string& id, FinishReason finish, const Status& why) {
  const auto place = active_.find(id);
  if (place == active_.end()) return;
  // A copy, since the last choice erases the original; from the back, so that nobody inherits.
  const std::vector<SequencePtr> choices = place->second.choices;
  for (auto choice = choices.rbegin(); choice != choices.rend(); ++choice) {
    end_choice(*choice, finish, why);
  }
}

void Engine::end_all(FinishReason finish, const Status& why) {
  std::vector<std::string> ids;
  ids.reserve(active_.size());
  for (const auto& [id, active] : active_) ids.push_back(id);
  for (const std::string& id : ids) end_request(id, finish, why);
}

// The requests of a step that failed end; what it wrote was never published, so nobody else can
// have read it.
void Engine::fail_step(const StepPlan& plan, const char* what) {
  log_error(str("a step of ", plan.entries.size(), " sequences failed: ", what));
  const Status why(StatusCode::kInternal, str("the step that served this request failed: ", what));
  for (const StepEntry& entry : plan.entries) {
    if (entry.sequence->state == SequenceState::kFinished) continue;
    end_request(entry.sequence->request->id, FinishReason::kError, why);
  }
  if (++failures_in_a_row_ < kMaxFailuresInARow) return;
  fail_check(__FILE__, __LINE__, str(failures_in_a_row_, " steps failed in a row"));
}

// A bug in our own bookkeeping: sequences, seats and blocks may disagree, so none of them is
// touched again. Everybody gets an answer, and nothing more is accepted.
void Engine::give_up(const RequestQueue::Drained& inbox, const char* what) {
  log_error(str("the engine stops serving: ", what));
  failed_ = true;
  queue_.close();
  queue_closed_ = true;
  const RequestQueue::Drained late = queue_.drain(std::chrono::milliseconds(0));
  for (const auto* submitted : {&inbox.submitted, &late.submitted}) {
    for (const RequestPtr& request : *submitted) {
      if (request != nullptr) refuse(*request, stopped_after_a_bug());  // null: it was taken in
    }
  }
  for (const auto& [id, active] : active_) {
    for (const SequencePtr& sequence : active.choices) {
      if (sequence->state == SequenceState::kFinished) continue;
      push_error(*sequence->request, sequence->choice, stopped_after_a_bug());
    }
    ++counters_.requests_failed;
  }
  active_.clear();
  num_in_flight_ = 0;
  counters_.failed = true;
  publish_stats();
}

void Engine::push_error(const Request& request, int choice, const Status& why) const {
  TokenEvent event;
  event.choice = choice;
  event.finish = FinishReason::kError;
  event.error = why;
  event.time = now_;
  request.output->push(std::move(event));
}

// Answers a request that has no sequences.
void Engine::refuse(const Request& request, const Status& why) const {
  for (int choice = 0; choice < request.sampling.n; ++choice) push_error(request, choice, why);
}

Status Engine::stopped_after_a_bug() {
  return {StatusCode::kInternal,
          "the engine met an internal error and serves nothing any more; restart the server"};
}

}  // namespace sluice
