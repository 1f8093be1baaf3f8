// LocalGeneration: drains the stream, hands each event to its choice, tells the engine of stops.
#include "server/local_generation.h"

#include <algorithm>
#include <utility>

namespace sluice {

LocalGeneration::LocalGeneration(Engine& engine, std::shared_ptr<const ModelText> text,
                                 RequestPtr request, std::string id,
                                 const ChoiceDecoderOptions& decoding,
                                 std::unique_ptr<RequestDeadlines::Ticket> ticket)
    : engine_(engine),
      text_(std::move(text)),
      request_(std::move(request)),
      id_(std::move(id)),
      ticket_(std::move(ticket)),
      unfinished_(request_->sampling.n) {
  choices_.reserve(static_cast<size_t>(unfinished_));
  for (int i = 0; i < unfinished_; ++i) choices_.emplace_back(*text_->tokenizer, decoding, i);
}

LocalGeneration::~LocalGeneration() {
  request_->output->set_notifier(nullptr);
  cancel();
}

void LocalGeneration::set_notifier(std::function<void()> notify) {
  request_->output->set_notifier(std::move(notify));
}

std::vector<TextDelta> LocalGeneration::next() { return decode(request_->output->drain()); }

std::vector<TextDelta> LocalGeneration::wait(std::chrono::milliseconds limit) {
  if (finished()) return {};
  return decode(request_->output->wait(limit));
}

Usage LocalGeneration::usage() const {
  Usage usage;
  usage.prompt_tokens = static_cast<int64_t>(request_->prompt.size());
  usage.cached_tokens = cached_tokens_;
  for (const ChoiceDecoder& choice : choices_) usage.completion_tokens += choice.num_tokens();
  return usage;
}

void LocalGeneration::cancel() {
  if (!finished()) engine_.cancel(request_->id);
}

std::vector<TextDelta> LocalGeneration::decode(const std::vector<TokenEvent>& events) {
  std::vector<TextDelta> deltas;
  for (const TokenEvent& event : events) {
    cached_tokens_ = std::max(cached_tokens_, event.cached_tokens);
    if (!event.prompt_logprobs.empty()) keep_prompt_logprobs(event);
    ChoiceDecoder& choice = choices_[static_cast<size_t>(event.choice)];
    if (choice.finished()) continue;  // computed before the engine heard of a stop string

    choice.consume(event, deltas);
    if (!choice.finished()) continue;
    const auto last = std::find_if(deltas.rbegin(), deltas.rend(), [&](const TextDelta& delta) {
      return delta.choice == event.choice;
    });
    if (last->finish == FinishReason::kCancelled && ticket_ && ticket_->passed()) {
      last->finish = FinishReason::kError;
      last->error = {StatusCode::kDeadlineExceeded,
                     "the request took longer than the server's --request-timeout allows"};
    }
    --unfinished_;
    if (choice.stopped_by_text()) engine_.cancel(request_->id, event.choice);
  }
  return deltas;
}

void LocalGeneration::keep_prompt_logprobs(const TokenEvent& event) {
  const std::vector<TokenId>& prompt = request_->prompt;
  prompt_logprobs_.assign(prompt.size(), std::nullopt);
  const size_t scored = std::min(event.prompt_logprobs.size(), prompt.size() - 1);
  for (size_t i = 0; i < scored; ++i) {
    prompt_logprobs_[i + 1] =
        text_logprob(*text_->tokenizer, prompt[i + 1], event.prompt_logprobs[i]);
  }
}

}  // namespace sluice
