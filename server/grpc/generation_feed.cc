// Cutting a generation into messages.
#include "server/grpc/generation_feed.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice {
namespace {

// The first `count` of `from`, which loses them.
template <typename T>
std::vector<T> take_first(std::vector<T>& from, size_t count) {
  const auto end = from.begin() + static_cast<ptrdiff_t>(std::min(count, from.size()));
  std::vector<T> out(std::make_move_iterator(from.begin()), std::make_move_iterator(end));
  from.erase(from.begin(), end);
  return out;
}

// At most `limit` bytes of `text` and no part of a character.
size_t whole_characters(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text.size();
  const auto continues = [&](size_t i) {
    return (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U;
  };
  while (limit > 0 && continues(limit)) --limit;
  return limit;
}

// The first bytes of `text`, up to `room`, which loses them.
std::string take_text(std::string& text, size_t& room) {
  const size_t bytes = whole_characters(text, room);
  std::string taken = text.substr(0, bytes);
  text.erase(0, bytes);
  room -= bytes;
  return taken;
}

size_t text_bytes(const TextDelta& delta) {
  size_t bytes = delta.reasoning.size() + delta.text.size();
  for (const ToolCallDelta& call : delta.calls) bytes += call.arguments.size();
  return bytes;
}

// The next piece of the first delta; the delta itself once it is small enough.
TextDelta take_piece(std::deque<TextDelta>& waiting) {
  TextDelta& front = waiting.front();
  if (front.tokens.size() <= GenerationFeed::kPieceTokens &&
      text_bytes(front) <= GenerationFeed::kPieceBytes) {
    TextDelta whole = std::move(front);
    waiting.pop_front();
    return whole;
  }
  TextDelta piece;
  piece.choice = front.choice;
  piece.tokens = take_first(front.tokens, GenerationFeed::kPieceTokens);
  piece.logprobs = take_first(front.logprobs, GenerationFeed::kPieceTokens);
  size_t room = GenerationFeed::kPieceBytes;
  piece.reasoning = take_text(front.reasoning, room);
  if (front.reasoning.empty()) piece.text = take_text(front.text, room);
  while (front.reasoning.empty() && front.text.empty() && room > 0 && !front.calls.empty()) {
    ToolCallDelta& call = front.calls.front();
    piece.calls.push_back({call.index, std::exchange(call.id, {}), std::exchange(call.name, {}),
                           take_text(call.arguments, room)});
    if (call.arguments.empty()) front.calls.erase(front.calls.begin());
  }
  return piece;
}

// The failure that ends a generation abnormally, or ok().
Status failure_of(const TextDelta& delta) {
  if (delta.finish == FinishReason::kError) return delta.error;
  if (delta.finish == FinishReason::kCancelled) {
    return {StatusCode::kCancelled, "the request was cancelled"};
  }
  return {};
}

void set_duration(std::chrono::nanoseconds time, google::protobuf::Duration* out) {
  constexpr int64_t kNanos = 1'000'000'000;
  out->set_seconds(time.count() / kNanos);
  out->set_nanos(static_cast<int32_t>(time.count() % kNanos));
}

}  // namespace

GenerationFeed::GenerationFeed(std::unique_ptr<Generation> generation, Call call, Metrics& metrics)
    : call_(std::move(call)),
      generation_(std::move(generation)),
      timer_(metrics, call_.arrival, call_.n) {}

GenerationFeed::Next GenerationFeed::next(v1::GenerateResponse* out) {
  out->Clear();
  if (!started_) {
    started_ = true;
    out->mutable_start()->set_request_id(call_.request_id);
    out->mutable_start()->set_model(call_.model);
    out->mutable_start()->set_prompt_tokens(
        static_cast<int64_t>(generation_->prompt_tokens().size()));
    return Next::kMessage;
  }
  if (waiting_.empty()) take();
  if (waiting_.empty()) return Next::kWait;
  if (add_prompt_logprobs(out)) return Next::kMessage;
  add_choices(out);
  if (!status_.ok()) return Next::kFailed;
  if (!waiting_.empty() || !generation_->finished()) return Next::kMessage;
  add_end(out);
  return Next::kLast;
}

RequestCounts GenerationFeed::counts() const {
  RequestCounts counts{.usage = generation_->usage(), .first_token = {}};
  if (first_token_ != TimePoint()) counts.first_token = first_token_ - call_.arrival;
  return counts;
}

void GenerationFeed::take() {
  for (TextDelta& delta : generation_->next()) {
    const auto tokens = static_cast<int64_t>(delta.tokens.size());
    timer_.on_tokens(delta.choice, tokens, delta.time);
    if (tokens > 0) {
      if (first_token_ == TimePoint()) first_token_ = delta.time;
      last_token_ = std::max(last_token_, delta.time);
    }
    if (delta.finish != FinishReason::kNone) {
      timer_.on_finish(delta.choice, delta.finish,
                       static_cast<int64_t>(generation_->prompt_tokens().size()), delta.time);
    }
    waiting_.push_back(std::move(delta));
  }
}

// False once all are sent. Asked when the first delta is there: they come with it.
bool GenerationFeed::add_prompt_logprobs(v1::GenerateResponse* out) {
  if (!call_.prompt_logprobs) return false;
  const std::vector<TokenId>& ids = generation_->prompt_tokens();
  const auto& scores = generation_->prompt_logprobs();
  const size_t end = std::min(scores.size(), prompt_logprobs_sent_ + kPromptLogprobs);
  if (prompt_logprobs_sent_ == end) return false;
  for (; prompt_logprobs_sent_ < end; ++prompt_logprobs_sent_) {
    add_prompt_logprob(ids[prompt_logprobs_sent_], scores[prompt_logprobs_sent_], out);
  }
  return true;
}

void GenerationFeed::add_choices(v1::GenerateResponse* out) {
  for (size_t bytes = 0; !waiting_.empty() && bytes < kMessageBytes;) {
    if (Status failure = failure_of(waiting_.front()); !failure.ok()) {
      if (out->choices_size() == 0) status_ = std::move(failure);  // else first what is good
      return;
    }
    add_choice(take_piece(waiting_), call_.stop_ids, out);
    bytes += out->choices().rbegin()->ByteSizeLong();
  }
}

void GenerationFeed::add_end(v1::GenerateResponse* out) const {
  set_usage(generation_->usage(), out->mutable_end()->mutable_usage());
  v1::Timings* timings = out->mutable_end()->mutable_timings();
  const bool any = first_token_ != TimePoint();
  if (any) set_duration(first_token_ - call_.arrival, timings->mutable_time_to_first_token());
  set_duration((any ? last_token_ : std::chrono::steady_clock::now()) - call_.arrival,
               timings->mutable_total());
}

}  // namespace sluice
