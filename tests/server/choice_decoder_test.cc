#include "server/choice_decoder.h"

#include <gtest/gtest.h>

#include "tests/server/service_fixture.h"

namespace sluice {
namespace {

TokenEvent token(TokenId id) {
  TokenEvent event;
  event.token = id;
  return event;
}

TokenEvent last(TokenId id, FinishReason finish) {
  TokenEvent event = token(id);
  event.finish = finish;
  if (finish == FinishReason::kStop) event.stop_id = id;
  return event;
}

TextDelta consume(ChoiceDecoder& decoder, const TokenEvent& event) {
  TextDelta delta;
  decoder.consume(event, delta);
  return delta;
}

TEST(ChoiceDecoder, TheIdThatEndsAChoiceCountsAndHasNoText) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.skip_special_tokens = false;
  ChoiceDecoder decoder(*text->tokenizer, options);
  EXPECT_EQ(consume(decoder, token('a')).text, "a");
  EXPECT_EQ(consume(decoder, token(kStart)).text, "<|im_start|>");
  const TextDelta end = consume(decoder, last(kEos, FinishReason::kStop));
  EXPECT_EQ(end.text, "");
  EXPECT_EQ(end.tokens, std::vector<TokenId>{kEos});
  EXPECT_EQ(end.stop_id, kEos);
  EXPECT_EQ(decoder.num_tokens(), 3);
  EXPECT_TRUE(decoder.finished());
}

TEST(ChoiceDecoder, IncludeStopShowsTheStopIdsTextToo) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.include_stop = true;
  ChoiceDecoder decoder(*text->tokenizer, options);
  EXPECT_EQ(consume(decoder, last('!', FinishReason::kStop)).text, "!");
}

TEST(ChoiceDecoder, AFinishFlushesHalfACodePointAndHeldBackText) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.stop = {"xyz"};
  ChoiceDecoder decoder(*text->tokenizer, options);
  EXPECT_EQ(consume(decoder, token('x')).text, "");
  EXPECT_EQ(consume(decoder, token('y')).text, "");
  const TextDelta end = consume(decoder, last(0xE4, FinishReason::kLength));
  EXPECT_EQ(end.text, "xy\xEF\xBF\xBD");
  EXPECT_EQ(end.finish, FinishReason::kLength);
}

TEST(ChoiceDecoder, AStopStringInTheLastTokenWinsOverItsFinish) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.stop = {"b"};
  ChoiceDecoder decoder(*text->tokenizer, options);
  consume(decoder, token('a'));
  const TextDelta end = consume(decoder, last('b', FinishReason::kLength));
  EXPECT_EQ(end.finish, FinishReason::kStop);
  EXPECT_EQ(end.stop_reason, "b");
  EXPECT_TRUE(decoder.stopped_by_text());
  EXPECT_EQ(consume(decoder, token('c')).tokens.size(), 0U);
  EXPECT_EQ(decoder.num_tokens(), 2);
}

TEST(ChoiceDecoder, StopStringsCountOnlyPastMinTokens) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.stop = {"a"};
  options.min_tokens = 2;
  ChoiceDecoder decoder(*text->tokenizer, options);
  EXPECT_EQ(consume(decoder, token('a')).text, "a");
  EXPECT_EQ(consume(decoder, token('a')).text, "a");
  EXPECT_EQ(consume(decoder, token('a')).finish, FinishReason::kStop);
}

TEST(ChoiceDecoder, LogprobsCarryTextAndBytes) {
  const auto text = byte_text();
  ChoiceDecoder decoder(*text->tokenizer, {});
  TokenEvent event = token(0xE4);
  event.logprob = TokenLogprob{-0.25F, 2, {{kEos, -0.1F}, {kByteVocab + 1, -3.0F}}};
  const TextDelta delta = consume(decoder, event);
  ASSERT_EQ(delta.logprobs.size(), 1U);
  const TextLogprob& logprob = delta.logprobs[0];
  EXPECT_EQ(logprob.bytes, "\xE4");
  EXPECT_EQ(logprob.text, "\xEF\xBF\xBD");
  EXPECT_EQ(logprob.rank, 2);
  ASSERT_EQ(logprob.top.size(), 2U);
  EXPECT_EQ(logprob.top[0].text, "</s>");
  EXPECT_EQ(logprob.top[1].bytes, "");  // past the tokenizer's vocabulary
}

}  // namespace
}  // namespace sluice
