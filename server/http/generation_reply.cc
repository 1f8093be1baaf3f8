// Whole and streamed replies over Generations.
#include "server/http/generation_reply.h"

#include <algorithm>

#include "server/openai/error_body.h"

namespace sluice {
namespace {

// What whole and streamed replies share: taking deltas, counting them, and the ends of choices.
class JobReply : public PendingReply {
 public:
  JobReply(GenerationJob job, const Service& service, Metrics& metrics)
      : job_(std::move(job)), service_(service) {
    for (size_t i = 0; i < job_.generations.size(); ++i) {
      timers_.push_back(std::make_unique<GenerationTimer>(metrics, job_.record->arrival(), n()));
    }
  }

  ~JobReply() override { job_.record->set_counts({usage(), first_token_}); }

  void start(std::function<void()> wake) override {
    for (const auto& generation : job_.generations) generation->set_notifier(wake);
  }

 protected:
  int n() const { return job_.request.call.sampling.n; }
  size_t num_choices() const { return job_.generations.size() * static_cast<size_t>(n()); }
  bool logprobs() const { return job_.request.call.sampling.logprobs; }

  // All that is new, with the choices numbered through.
  std::vector<TextDelta> take() {
    std::vector<TextDelta> out;
    for (size_t i = 0; i < job_.generations.size(); ++i) {
      Generation& generation = *job_.generations[i];
      for (TextDelta& delta : generation.next()) {
        count(delta, i, generation);
        delta.choice += static_cast<int>(i) * n();
        out.push_back(std::move(delta));
      }
    }
    return out;
  }

  bool finished() const {
    return std::all_of(job_.generations.begin(), job_.generations.end(),
                       [](const auto& generation) { return generation->finished(); });
  }

  Usage usage() const {
    Usage total;
    for (const auto& generation : job_.generations) {
      const Usage one = generation->usage();
      total.prompt_tokens += one.prompt_tokens;
      total.completion_tokens += one.completion_tokens;
      total.cached_tokens += one.cached_tokens;
    }
    return total;
  }

  // The failure that ends a choice abnormally, or ok().
  static Status failure_of(const TextDelta& delta) {
    if (delta.finish == FinishReason::kError) return delta.error;
    if (delta.finish == FinishReason::kCancelled) {
      return {StatusCode::kCancelled, "the request was cancelled by the server"};
    }
    return {};
  }

  Ending ending_of(const TextDelta& delta) const {
    Ending ending;
    ending.finish = delta.finish;
    ending.made_calls = delta.made_calls;
    const std::vector<TokenId>& stop_ids = job_.request.call.sampling.stop_token_ids;
    if (!delta.stop_id) {
      ending.stop_string = delta.stop_reason;
    } else if (std::find(stop_ids.begin(), stop_ids.end(), *delta.stop_id) != stop_ids.end()) {
      ending.stop_id = delta.stop_id;  // a model's own end is no news
    }
    return ending;
  }

  static void append_scored(std::vector<ScoredToken>* out, std::vector<TextLogprob> logprobs) {
    for (TextLogprob& logprob : logprobs) {
      std::string text = logprob.text;
      out->push_back({std::move(text), std::move(logprob)});
    }
  }

  // The prompt's tokens before the output's, for echo with logprobs. After the first delta.
  std::vector<ScoredToken> echo_tokens(size_t prompt) const {
    const Generation& generation = *job_.generations[prompt];
    const std::vector<TokenId>& ids = generation.prompt_tokens();
    const auto& scores = generation.prompt_logprobs();
    std::vector<ScoredToken> out;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i < scores.size() && scores[i]) {
        out.push_back({scores[i]->text, scores[i]});
        continue;
      }
      const Result<std::string> text = service_.detokenize({ids[i]});
      out.push_back({text.ok() ? text.value() : std::string(), std::nullopt});
    }
    return out;
  }

  GenerationJob job_;

 private:
  void count(const TextDelta& delta, size_t index, const Generation& generation) {
    timers_[index]->on_tokens(delta.choice, static_cast<int64_t>(delta.tokens.size()), delta.time);
    if (!delta.tokens.empty() && !first_token_) {
      first_token_ = delta.time - job_.record->arrival();
    }
    if (delta.finish == FinishReason::kNone) return;
    timers_[index]->on_finish(delta.choice, delta.finish,
                              static_cast<int64_t>(generation.prompt_tokens().size()), delta.time);
  }

  const Service& service_;
  std::optional<std::chrono::nanoseconds> first_token_;
  std::vector<std::unique_ptr<GenerationTimer>> timers_;  // [generations]
};

class WholeReply final : public JobReply {
 public:
  WholeReply(GenerationJob job, const Service& service, Metrics& metrics)
      : JobReply(std::move(job), service, metrics), choices_(num_choices()) {}

  bool head(HttpResponse* head) override {
    for (TextDelta& delta : take()) {
      if (const Status failure = failure_of(delta); !failure.ok()) {
        *head = error_response(failure, job_.request.protocol);
        return finish(head);
      }
      add(std::move(delta));
    }
    if (!finished()) return false;
    head->body = build();
    return finish(head);
  }

  bool pull(std::string*, size_t) override { return false; }

 private:
  bool finish(HttpResponse* head) {
    job_.record->set_code(head->code);
    const auto& headers = job_.record->headers();
    head->headers.insert(head->headers.end(), headers.begin(), headers.end());
    return true;
  }

  void add(TextDelta delta) {
    ChoiceResult& choice = choices_.at(static_cast<size_t>(delta.choice));
    if (delta.finish != FinishReason::kNone) choice.ending = ending_of(delta);
    choice.reasoning += delta.reasoning;
    choice.text += delta.text;
    for (ToolCallDelta& call : delta.calls) {
      if (!call.name.empty()) {
        choice.calls.push_back(std::move(call));
      } else {
        choice.calls.back().arguments += call.arguments;
      }
    }
    append_scored(&choice.tokens, std::move(delta.logprobs));
  }

  std::string build() {
    WholeResponse response;
    response.head = job_.head;
    response.logprobs = logprobs();
    response.n = n();
    response.usage = usage();
    for (size_t i = 0; job_.request.echo && i < choices_.size(); ++i) {
      const size_t prompt = i / static_cast<size_t>(n());
      choices_[i].text.insert(0, job_.echoes[prompt]);
      if (!logprobs()) continue;
      std::vector<ScoredToken> tokens = echo_tokens(prompt);
      std::move(choices_[i].tokens.begin(), choices_[i].tokens.end(), std::back_inserter(tokens));
      choices_[i].tokens = std::move(tokens);
    }
    response.choices = std::move(choices_);
    if (job_.request.report_prompt_logprobs) {
      for (const auto& generation : job_.generations) {
        response.prompt_logprobs.push_back(generation->prompt_logprobs());
      }
    }
    return job_.writer->whole(response);
  }

  std::vector<ChoiceResult> choices_;
};

class StreamReply final : public JobReply {
 public:
  StreamReply(GenerationJob job, const Service& service, Metrics& metrics)
      : JobReply(std::move(job), service, metrics),
        begun_(num_choices()),
        offsets_(num_choices()) {}

  bool head(HttpResponse* head) override {
    head->streamed = true;
    head->content_type = "text/event-stream; charset=utf-8";
    head->headers = job_.record->headers();
    head->headers.emplace_back("Cache-Control", "no-cache");
    job_.record->set_code(head->code);
    return true;
  }

  bool pull(std::string* out, size_t limit) override {
    if (waiting_.empty()) {
      for (TextDelta& delta : take()) waiting_.push_back(std::move(delta));
      last_ = finished();
    }
    while (!waiting_.empty() && out->size() < limit) {
      if (const Status failure = failure_of(waiting_.front()); !failure.ok()) {
        job_.writer->append_error(out, failure);
        return false;
      }
      append(out, std::move(waiting_.front()));
      waiting_.pop_front();
    }
    if (!waiting_.empty() || !last_) return true;
    job_.writer->append_end(out, usage());
    return false;
  }

 private:
  void append(std::string* out, TextDelta delta) {
    const auto choice = static_cast<size_t>(delta.choice);
    std::vector<ScoredToken> tokens;
    std::string text;
    if (!begun_[choice]) begin(out, choice, &text, &tokens);
    text += delta.text;
    append_scored(&tokens, std::move(delta.logprobs));
    const bool with_usage = job_.request.continuous_usage;
    const bool counts = with_usage && !delta.tokens.empty();
    tokens_sent_ += static_cast<int64_t>(delta.tokens.size());
    // Text that is held back, for a stop string or half a code point, makes no event, except where
    // the client counts tokens.
    const bool ends = delta.finish != FinishReason::kNone;
    const bool says = !delta.reasoning.empty() || !text.empty() || !delta.calls.empty();
    if (!says && tokens.empty() && !counts && !ends) return;
    Usage so_far = with_usage ? usage() : Usage();
    so_far.completion_tokens = tokens_sent_;
    job_.writer->append_news(out, {.choice = delta.choice,
                                   .reasoning = delta.reasoning,
                                   .text = text,
                                   .calls = delta.calls,
                                   .tokens = tokens,
                                   .offset = &offsets_[choice],
                                   .ending = ends ? ending_of(delta) : Ending(),
                                   .usage = with_usage ? &so_far : nullptr});
  }

  void begin(std::string* out, size_t choice, std::string* text, std::vector<ScoredToken>* tokens) {
    begun_[choice] = true;
    const size_t prompt = choice / static_cast<size_t>(n());
    job_.writer->append_start(out, static_cast<int>(choice), usage());
    if (!job_.request.echo) return;
    *text = job_.echoes[prompt];
    if (logprobs()) *tokens = echo_tokens(prompt);
  }

  std::deque<TextDelta> waiting_;
  bool last_ = false;  // waiting_ holds all that is left
  std::vector<bool> begun_;
  std::vector<int64_t> offsets_;
  int64_t tokens_sent_ = 0;
};

}  // namespace

std::unique_ptr<PendingReply> make_whole_reply(GenerationJob job, const Service& service,
                                               Metrics& metrics) {
  return std::make_unique<WholeReply>(std::move(job), service, metrics);
}

std::unique_ptr<PendingReply> make_stream_reply(GenerationJob job, const Service& service,
                                                Metrics& metrics) {
  return std::make_unique<StreamReply>(std::move(job), service, metrics);
}

HttpResponse json_response(std::string body, int code) {
  HttpResponse response;
  response.code = code;
  response.body = std::move(body);
  return response;
}

HttpResponse error_response(const Status& status, Protocol protocol) {
  HttpResponse response = json_response(error_body(status, protocol), http_code(status.code()));
  if (status.code() == StatusCode::kResourceExhausted) {
    response.headers.emplace_back("Retry-After", "1");
  } else if (status.code() == StatusCode::kUnavailable) {
    response.headers.emplace_back("Retry-After", "5");
  } else if (status.code() == StatusCode::kUnauthenticated) {
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
  }
  return response;
}

}  // namespace sluice
