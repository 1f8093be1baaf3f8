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
  std::vector<TextDelta> deltas;
  decoder.consume(event, deltas);
  return deltas.empty() ? TextDelta() : deltas.front();
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

TEST(ChoiceDecoder, TakesAnAnswerApartInItsOrder) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.answer.reasoning = find_reasoning_syntax("qwen3");
  options.answer.calls = find_call_syntax("hermes");
  ChoiceDecoder decoder(*text->tokenizer, options, /*choice=*/3);
  std::vector<TextDelta> deltas;
  for (const TokenId id :
       byte_ids("<think>Hm.</think>One <tool_call>{\"name\": \"f\", \"arguments\": "
                "{\"a\": 1}}</tool_call>and two <tool_call>{\"name\": \"g\"}"
                "</tool_call>")) {
    decoder.consume(token(id), deltas);
  }
  decoder.consume(last(kEos, FinishReason::kStop), deltas);
  ASSERT_EQ(deltas.size(), 2U);
  EXPECT_EQ(deltas[0].reasoning, "Hm.");
  EXPECT_EQ(deltas[0].text, "One");
  ASSERT_EQ(deltas[0].calls.size(), 1U);
  EXPECT_EQ(deltas[0].calls[0].name, "f");
  EXPECT_EQ(deltas[0].calls[0].arguments, R"({"a": 1})");
  EXPECT_EQ(deltas[1].choice, 3);
  EXPECT_EQ(deltas[1].text, "and two");
  ASSERT_EQ(deltas[1].calls.size(), 1U);
  EXPECT_EQ(deltas[1].calls[0].index, 1);
  EXPECT_EQ(deltas[1].calls[0].name, "g");
  EXPECT_EQ(deltas[1].calls[0].arguments, "{}");
  EXPECT_EQ(deltas[0].calls[0].id.size(), std::string("call_").size() + 24);
  EXPECT_NE(deltas[0].calls[0].id, deltas[1].calls[0].id);
  EXPECT_FALSE(deltas[0].made_calls);
  EXPECT_TRUE(deltas[1].made_calls);
  EXPECT_EQ(deltas[1].finish, FinishReason::kStop);
}

TEST(ChoiceDecoder, ACallsNameAndIdComeOnce) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.answer.calls = find_call_syntax("mistral");
  ChoiceDecoder decoder(*text->tokenizer, options);
  std::vector<TextDelta> all;
  for (const TokenId id : byte_ids("[TOOL_CALLS]f[ARGS]{\"a\": 1}")) {
    TextDelta delta = consume(decoder, token(id));
    if (!delta.calls.empty()) all.push_back(std::move(delta));
  }
  ASSERT_EQ(all.size(), 8U);  // one a byte
  EXPECT_EQ(all[0].calls[0].name, "f");
  EXPECT_EQ(all[0].calls[0].id.size(), 9U);
  std::string arguments;
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].calls.size(), 1U);
    arguments += all[i].calls[0].arguments;
    EXPECT_EQ(all[i].calls[0].name.empty(), i > 0);
    EXPECT_EQ(all[i].calls[0].id.empty(), i > 0);
  }
  EXPECT_EQ(arguments, R"({"a": 1})");
}

TEST(ChoiceDecoder, EndsBehindTheOnlyCall) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.answer.calls = find_call_syntax("mistral");
  options.answer.parallel_calls = false;
  ChoiceDecoder decoder(*text->tokenizer, options);
  std::vector<TextDelta> deltas;
  for (const TokenId id : byte_ids("[TOOL_CALLS]f{}")) decoder.consume(token(id), deltas);
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_EQ(deltas[0].finish, FinishReason::kStop);
  EXPECT_TRUE(deltas[0].made_calls);
  EXPECT_TRUE(decoder.stopped_by_text());
}

TEST(ChoiceDecoder, ShowsTheControlTokensThatAreLookedFor) {
  const auto text = byte_text();
  ChoiceDecoderOptions options;
  options.shown_tokens = {kStart};
  ChoiceDecoder decoder(*text->tokenizer, options);
  EXPECT_EQ(consume(decoder, token(kStart)).text, "<|im_start|>");
  EXPECT_EQ(consume(decoder, token(kEnd)).text, "");
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
