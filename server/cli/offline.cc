// The loop of an offline run: submit, step, read.
#include "server/cli/offline.h"

#include "base/text.h"

namespace sluice {
namespace {

std::shared_ptr<Request> make_request(const OfflineRequest& from, size_t index) {
  auto request = std::make_shared<Request>();
  request->id = str("offline-", index);
  request->prompt = from.prompt;
  request->sampling = from.sampling;
  request->eos_ids = from.eos_ids;
  request->arrival = std::chrono::steady_clock::now();
  request->output = std::make_shared<OutputStream>();
  return request;
}

// Moves what `event` brought into `completion`; true if it was the last one.
bool take(TokenEvent& event, Completion& completion) {
  if (!event.prompt_logprobs.empty()) completion.prompt_logprobs = std::move(event.prompt_logprobs);
  completion.cached_tokens = std::max(completion.cached_tokens, event.cached_tokens);
  if (event.token) {
    completion.tokens.push_back(*event.token);
    completion.token_times.push_back(event.time);
    if (event.logprob) completion.logprobs.push_back(std::move(*event.logprob));
  }
  completion.finish = event.finish;
  completion.error = std::move(event.error);
  return event.finish != FinishReason::kNone;
}

}  // namespace

Result<std::vector<Completion>> run_offline(
    Engine& engine, const std::vector<OfflineRequest>& requests, int max_in_flight,
    const std::function<void(const std::vector<Completion>&)>& on_step) {
  SLUICE_CHECK_LE(1, max_in_flight);
  struct Running {
    size_t index;
    std::shared_ptr<OutputStream> output;
  };
  std::vector<Completion> completions(requests.size());
  std::vector<Running> running;
  size_t next = 0;
  while (next < requests.size() || !running.empty()) {
    while (next < requests.size() && running.size() < static_cast<size_t>(max_in_flight)) {
      const auto request = make_request(requests[next], next);
      SLUICE_RETURN_IF_ERROR(engine.submit(request));
      completions[next].submitted = request->arrival;
      running.push_back({next++, request->output});
    }
    const bool worked = engine.step();
    const size_t were_running = running.size();
    std::erase_if(running, [&](const Running& run) {
      bool finished = false;
      for (TokenEvent& event : run.output->drain()) {
        finished = take(event, completions[run.index]) || finished;
      }
      return finished;
    });
    SLUICE_CHECK(worked || running.size() < were_running);  // else it would never end
    if (on_step) on_step(completions);
  }
  return completions;
}

Status first_error(const std::vector<Completion>& completions) {
  for (const Completion& completion : completions) {
    if (completion.finish == FinishReason::kError) return completion.error;
  }
  return {};
}

}  // namespace sluice
