// ChoiceDecoder: where the engine's tokens become text.
#include "server/choice_decoder.h"

#include <random>
#include <string_view>
#include <utility>

#include "server/text/utf8.h"

namespace sluice {
namespace {

// OpenAI's "call_..." or nine letters and digits, as Mistral's templates insist on.
std::string random_call_id(bool is_short) {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::random_device device;  // getrandom(2)
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id = is_short ? "" : "call_";
  for (int i = 0; i < (is_short ? 9 : 24); ++i) id += kLetters[letter(device)];
  return id;
}

}  // namespace

ChoiceDecoder::ChoiceDecoder(const Tokenizer& tokenizer, const ChoiceDecoderOptions& options,
                             int choice)
    : tokenizer_(tokenizer),
      detokenizer_(tokenizer, options.skip_special_tokens, options.at_start, options.shown_tokens),
      matcher_(options.stop, options.include_stop),
      include_stop_(options.include_stop),
      min_tokens_(options.min_tokens),
      choice_(choice) {
  const AnswerParserOptions& answer = options.answer;
  if (answer.calls != nullptr || answer.reasoning != nullptr) parser_.emplace(answer);
  short_ids_ = answer.calls != nullptr && answer.calls->short_ids;
}

void ChoiceDecoder::consume(const TokenEvent& event, std::vector<TextDelta>& deltas) {
  if (finished_) return;
  finished_ = event.finish != FinishReason::kNone;
  std::string added, text;
  if (event.token) {
    ++num_tokens_;
    TextDelta& delta = delta_in(deltas);
    delta.tokens.push_back(*event.token);
    if (event.logprob) {
      delta.logprobs.push_back(text_logprob(tokenizer_, *event.token, *event.logprob));
    }
    const bool is_stop_id = event.finish == FinishReason::kStop && event.stop_id;
    if (!is_stop_id || include_stop_) detokenizer_.push(*event.token, added);
    stopped_by_text_ = matcher_.push(added, num_tokens_ > min_tokens_, text);
  }
  if (finished_ && !stopped_by_text_) {
    added.clear();
    detokenizer_.finish(added);
    // U+FFFD for half a code point is text like any other, but comes after the last token: it ends
    // nothing that has ended already.
    matcher_.push(added, /*may_stop=*/false, text);
    matcher_.finish(text);
  }
  add_text(text, finished_ || stopped_by_text_, deltas);
  TextDelta& delta = delta_in(deltas);
  delta.time = event.time;
  if (parser_ && parser_->done()) stopped_by_text_ = true;
  if (!finished_ && !stopped_by_text_) return;
  finished_ = true;
  delta.made_calls = parser_ && parser_->any_calls();
  delta.finish = stopped_by_text_ ? FinishReason::kStop : event.finish;
  if (stopped_by_text_) {
    delta.stop_reason = matcher_.matched();
    return;
  }
  delta.stop_id = event.stop_id;
  delta.error = event.error;
}

TextDelta& ChoiceDecoder::delta_in(std::vector<TextDelta>& deltas) const {
  for (auto delta = deltas.rbegin(); delta != deltas.rend(); ++delta) {
    if (delta->choice == choice_) return *delta;
  }
  TextDelta& delta = deltas.emplace_back();
  delta.choice = choice_;
  return delta;
}

void ChoiceDecoder::add_text(const std::string& text, bool last, std::vector<TextDelta>& deltas) {
  if (!parser_) {
    delta_in(deltas).text += text;
    return;
  }
  parser_->push(text, parts_);
  if (last) parser_->finish(parts_);
  for (AnswerPart& part : parts_.take()) add_part(std::move(part), deltas);
}

void ChoiceDecoder::add_part(AnswerPart part, std::vector<TextDelta>& deltas) const {
  TextDelta* delta = &delta_in(deltas);
  const bool behind_calls = !delta->calls.empty() && part.kind != AnswerPart::Kind::kCall;
  if (behind_calls || (!delta->text.empty() && part.kind == AnswerPart::Kind::kReasoning)) {
    delta = &deltas.emplace_back();
    delta->choice = choice_;
  }
  switch (part.kind) {
    case AnswerPart::Kind::kReasoning:
      delta->reasoning += part.text;
      return;
    case AnswerPart::Kind::kText:
      delta->text += part.text;
      return;
    case AnswerPart::Kind::kCall:
      break;
  }
  if (!part.name.empty()) {
    delta->calls.push_back({part.call, random_call_id(short_ids_), std::move(part.name), {}});
  } else if (delta->calls.empty()) {
    delta->calls.push_back({part.call, {}, {}, {}});
  }
  delta->calls.back().arguments += part.text;
}

TextLogprob text_logprob(const Tokenizer& tokenizer, TokenId id, const TokenLogprob& logprob) {
  const auto bytes_of = [&](TokenId token) {
    return std::string(token < tokenizer.vocab_size() ? tokenizer.bytes_of(token, true) : "");
  };
  TextLogprob result;
  result.id = id;
  result.bytes = bytes_of(id);
  result.text = to_valid_utf8(result.bytes);
  result.logprob = logprob.logprob;
  result.rank = logprob.rank;
  for (const TopLogprob& top : logprob.top) {
    const std::string bytes = bytes_of(top.id);
    result.top.push_back({top.id, to_valid_utf8(bytes), bytes, top.logprob});
  }
  return result;
}

}  // namespace sluice
