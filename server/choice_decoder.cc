// ChoiceDecoder: where the engine's tokens become text.
#include "server/choice_decoder.h"

#include "server/text/utf8.h"

namespace sluice {

ChoiceDecoder::ChoiceDecoder(const Tokenizer& tokenizer, const ChoiceDecoderOptions& options)
    : tokenizer_(tokenizer),
      detokenizer_(tokenizer, options.skip_special_tokens, options.at_start),
      matcher_(options.stop, options.include_stop),
      include_stop_(options.include_stop),
      min_tokens_(options.min_tokens) {}

void ChoiceDecoder::consume(const TokenEvent& event, TextDelta& delta) {
  if (finished_) return;
  delta.time = event.time;
  if (event.token) {
    ++num_tokens_;
    delta.tokens.push_back(*event.token);
    if (event.logprob) {
      delta.logprobs.push_back(text_logprob(tokenizer_, *event.token, *event.logprob));
    }
    const bool is_stop_id = event.finish == FinishReason::kStop && event.stop_id;
    std::string added;
    if (!is_stop_id || include_stop_) detokenizer_.push(*event.token, added);
    if (matcher_.push(added, num_tokens_ > min_tokens_, delta.text)) {
      finished_ = true;
      delta.finish = FinishReason::kStop;
      delta.stop_reason = matcher_.matched();
      return;
    }
  }
  if (event.finish != FinishReason::kNone) finish(event, delta);
}

void ChoiceDecoder::finish(const TokenEvent& event, TextDelta& delta) {
  finished_ = true;
  std::string added;
  detokenizer_.finish(added);
  // U+FFFD for half a code point is text like any other, but comes after the last token: it ends
  // nothing that has ended already.
  matcher_.push(added, /*may_stop=*/false, delta.text);
  matcher_.finish(delta.text);
  delta.finish = event.finish;
  delta.stop_id = event.stop_id;
  delta.error = event.error;
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
