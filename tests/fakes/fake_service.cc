// FakeService and its generations.
#include "tests/fakes/fake_service.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice {

// Locks: the service's, then the generation's.
class FakeService::FakeGeneration final : public Generation {
 public:
  FakeGeneration(FakeService& service, GenerateCall call, std::vector<TokenId> prompt)
      : service_(service),
        call_(std::move(call)),
        prompt_(std::move(prompt)),
        made_(static_cast<size_t>(call_.sampling.n)) {
    if (!call_.sampling.prompt_logprobs) return;
    prompt_logprobs_.emplace_back();
    for (size_t i = 1; i < prompt_.size(); ++i) prompt_logprobs_.emplace_back(score(prompt_[i]));
  }
  ~FakeGeneration() override { service_.on_destroyed(this, finished_); }

  const std::string& id() const override { return call_.request_id; }
  void set_notifier(std::function<void()> notify) override {
    const std::scoped_lock lock(mutex_);
    notify_ = std::move(notify);
    if (!waiting_.empty()) notify_();
  }
  std::vector<TextDelta> next() override {
    const std::scoped_lock lock(mutex_);
    std::vector<TextDelta> out(std::make_move_iterator(waiting_.begin()),
                               std::make_move_iterator(waiting_.end()));
    waiting_.clear();
    for (const TextDelta& delta : out) {
      completion_tokens_ += static_cast<int64_t>(delta.tokens.size());
      if (delta.finish != FinishReason::kNone && ++ended_ == call_.sampling.n) finished_ = true;
    }
    return out;
  }
  std::vector<TextDelta> wait(std::chrono::milliseconds) override { return next(); }
  bool finished() const override { return finished_; }
  const std::vector<TokenId>& prompt_tokens() const override { return prompt_; }
  const std::vector<std::optional<TextLogprob>>& prompt_logprobs() const override {
    return prompt_logprobs_;
  }
  Usage usage() const override {
    return {static_cast<int64_t>(prompt_.size()), completion_tokens_, 1};
  }
  void cancel() override {
    const std::scoped_lock lock(mutex_);
    for (int choice = 0; choice < call_.sampling.n; ++choice) {
      int64_t& made = made_[static_cast<size_t>(choice)];
      if (std::exchange(made, std::numeric_limits<int64_t>::max()) >= call_.sampling.max_tokens) {
        continue;  // it has ended
      }
      TextDelta delta;
      delta.choice = choice;
      delta.finish = FinishReason::kCancelled;
      waiting_.push_back(std::move(delta));
    }
    if (notify_ && !waiting_.empty()) notify_();
  }

  void make(int64_t count) {
    const std::scoped_lock lock(mutex_);
    for (int choice = 0; choice < call_.sampling.n; ++choice) {
      for (int64_t i = 0; i < count; ++i) make_one(choice);
    }
    if (notify_ && !waiting_.empty()) notify_();
  }

 private:
  TextLogprob score(TokenId id) const {
    const auto letter = static_cast<char>(id);
    TextLogprob out{
        .id = id, .text = {letter}, .bytes = {letter}, .logprob = -0.5F, .rank = 1, .top = {}};
    for (int i = 0; i < call_.sampling.num_top_logprobs; ++i) {
      const auto other = static_cast<char>('a' + (id - 'a' + i) % 26);
      out.top.push_back({other, {other}, {other}, -0.5F - static_cast<float>(i)});
    }
    return out;
  }
  void make_one(int choice) {
    int64_t& made = made_[static_cast<size_t>(choice)];
    const int64_t limit = call_.sampling.max_tokens;
    if (made > limit || (made == limit && limit > 0)) return;
    TextDelta delta;
    delta.choice = choice;
    delta.time = std::chrono::steady_clock::now();
    ++made;
    if (limit > 0) {
      const auto id = static_cast<TokenId>('a' + (made - 1) % 26);
      delta.tokens = {id};
      delta.text = service_.token_text.value_or(std::string(1, static_cast<char>(id)));
      if (call_.sampling.logprobs) delta.logprobs = {score(id)};
    }
    if (made >= limit) end(&delta);
    waiting_.push_back(std::move(delta));
  }
  void end(TextDelta* delta) const {
    delta->finish = FinishReason::kLength;
    if (!service_.stop_string.empty()) {
      delta->finish = FinishReason::kStop;
      delta->stop_reason = service_.stop_string;
    }
    if (!service_.fail.ok()) {
      delta->finish = FinishReason::kError;
      delta->error = service_.fail;
    }
  }

  FakeService& service_;
  const GenerateCall call_;
  const std::vector<TokenId> prompt_;
  std::vector<std::optional<TextLogprob>> prompt_logprobs_;
  std::mutex mutex_;
  std::function<void()> notify_;
  std::deque<TextDelta> waiting_;
  std::vector<int64_t> made_;  // [choices]
  int ended_ = 0;
  bool finished_ = false;
  int64_t completion_tokens_ = 0;
};

void FakeService::release(int count) {
  const std::scoped_lock lock(mutex_);
  for (FakeGeneration* generation : live_) generation->make(count);
}

int FakeService::live() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<int>(live_.size());
}

int FakeService::cancelled() const {
  const std::scoped_lock lock(mutex_);
  return cancelled_;
}

bool FakeService::wait_none_live() const {
  std::unique_lock lock(mutex_);
  return none_live_.wait_for(lock, std::chrono::seconds(10), [this] { return live_.empty(); });
}

GenerateCall FakeService::last_call() const {
  const std::scoped_lock lock(mutex_);
  return last_call_;
}

void FakeService::on_destroyed(FakeGeneration* generation, bool finished) {
  const std::scoped_lock lock(mutex_);
  live_.erase(std::find(live_.begin(), live_.end(), generation));
  if (!finished) ++cancelled_;
  if (live_.empty()) none_live_.notify_all();
}

Result<std::unique_ptr<Generation>> FakeService::generate(GenerateCall call) {
  if (gate != nullptr) gate->wait();
  if (throw_bug) throw InternalError("fake_service.cc: check failed: a planted bug");
  if (!refuse.ok()) return refuse;
  constexpr int kVocabSize = 256;
  SLUICE_RETURN_IF_ERROR(call.sampling.validate(kVocabSize));
  Result<std::vector<TokenId>> prompt = tokenize(call);
  if (!prompt.ok()) return prompt.status();
  if (!call.max_tokens_given) call.sampling.max_tokens = 5;
  const int64_t max_tokens = call.sampling.max_tokens;
  const std::scoped_lock lock(mutex_);
  last_call_ = call;
  auto generation =
      std::make_unique<FakeGeneration>(*this, std::move(call), std::move(prompt).value());
  live_.push_back(generation.get());
  if (!hold) generation->make(std::max<int64_t>(max_tokens, 1));
  return std::unique_ptr<Generation>(std::move(generation));
}

Result<std::vector<TokenId>> FakeService::tokenize(const GenerateCall& call) const {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&call.prompt)) return *ids;
  std::string text;
  if (const auto* messages = std::get_if<std::vector<ChatMessage>>(&call.prompt)) {
    for (const ChatMessage& message : *messages) text += message.content;
  } else {
    text = std::get<std::string>(call.prompt);
  }
  if (text.empty()) return invalid_argument("prompt: is empty", "prompt");
  if (text.size() > static_cast<size_t>(model().max_model_len)) {
    return Status(StatusCode::kTooLong, "prompt has too many tokens; the limit is 4096", "prompt");
  }
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

Result<std::string> FakeService::detokenize(const std::vector<TokenId>& ids) const {
  std::string text;
  for (const TokenId id : ids) {
    if (id > 255) return invalid_argument("tokens: an id is beyond the vocabulary", "tokens");
    text.push_back(static_cast<char>(id));
  }
  return text;
}

std::string FakeService::token_spelling(TokenId id) const { return {static_cast<char>(id)}; }

}  // namespace sluice
