// Responses, byte by byte: what the official client libraries read.
#include "server/openai/response.h"

#include <gtest/gtest.h>

#include "server/openai/completion_writer.h"
#include "server/openai/error_body.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

TextLogprob score(const char* text, TokenId id, float logprob) {
  TextLogprob out;
  out.id = id;
  out.text = text;
  out.bytes = text;
  out.logprob = logprob;
  out.rank = 2;
  return out;
}

ScoredToken scored(const char* text, TokenId id, float logprob) {
  ScoredToken out{text, score(text, id, logprob)};
  TextLogprob::Alternative best;
  best.id = 9;
  best.text = best.bytes = "!";
  best.logprob = -0.25F;
  out.score->top = {best};
  return out;
}

ResponseHead head_of(bool chat) { return {chat, chat ? "chatcmpl-1" : "cmpl-1", 12, "tiny"}; }

WholeResponse one_choice(bool chat) {
  WholeResponse response;
  response.head = head_of(chat);
  response.choices.resize(1);
  response.choices[0].text = "a\"b";
  response.choices[0].ending.finish = FinishReason::kStop;
  response.usage = {3, 2, 1};
  return response;
}

TEST(Response, WritesAChatCompletion) {
  EXPECT_EQ(whole_response(one_choice(true)),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":12,"model":"tiny",)"
            R"("system_fingerprint":null,"choices":[{"index":0,"message":{"role":"assistant",)"
            R"("content":"a\"b","refusal":null},"logprobs":null,"finish_reason":"stop",)"
            R"("stop_reason":null}],"usage":{"prompt_tokens":3,"total_tokens":5,)"
            R"("completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}})");
}

TEST(Response, WritesATextCompletion) {
  WholeResponse response = one_choice(false);
  response.choices[0].ending.stop_string = "END";
  EXPECT_EQ(
      whole_response(response),
      R"({"id":"cmpl-1","object":"text_completion","created":12,"model":"tiny",)"
      R"("system_fingerprint":null,"choices":[{"index":0,"text":"a\"b","logprobs":null,)"
      R"("finish_reason":"stop","stop_reason":"END"}],"usage":{"prompt_tokens":3,)"
      R"("total_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}})");
}

TEST(Response, WritesChatLogprobs) {
  std::string out;
  append_chat_logprobs(&out, {scored("a", 5, -1.5F)});
  EXPECT_EQ(out, R"({"content":[{"token":"a","logprob":-1.5,"bytes":[97],"top_logprobs":[)"
                 R"({"token":"!","logprob":-0.25,"bytes":[33]}]}],"refusal":null})");
}

TEST(Response, WritesTextLogprobsWithOffsetsInCodePoints) {
  std::string out;
  int64_t offset = 0;
  append_text_logprobs(&out, {{"\xC3\xA9", std::nullopt}, scored("b", 5, -1.5F)}, &offset);
  EXPECT_EQ(out,
            "{\"text_offset\":[0,1],\"token_logprobs\":[null,-1.5],\"tokens\":[\"\xC3\xA9\",\"b\"],"
            "\"top_logprobs\":[null,{\"!\":-0.25,\"b\":-1.5}]}");
  EXPECT_EQ(offset, 2);
}

TEST(Response, WritesPromptLogprobsAtTheirPlaceInEachEndpoint) {
  for (const bool chat : {false, true}) {
    WholeResponse response = one_choice(chat);
    response.prompt_logprobs = {{std::nullopt, scored("a", 5, -1.5F).score}};
    const JsonValue body = JsonValue::parse(whole_response(response)).value();
    const JsonValue& holder = chat ? body : (*body.find("choices")->as_array())[0];
    const JsonValue::Array& list = *holder.find("prompt_logprobs")->as_array();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_TRUE(list[0].is_null());
    EXPECT_EQ(*list[1].find("5")->find("logprob")->as_float(), -1.5);
    EXPECT_EQ(*list[1].find("5")->find("rank")->as_integer(), 2);
    EXPECT_EQ(*list[1].find("9")->find("rank")->as_integer(), 1);
    EXPECT_EQ(*list[1].find("9")->find("decoded_token")->as_string(), "!");
  }
}

TEST(CompletionWriter, WritesAChatsEvents) {
  CompletionWriter chunks(head_of(true), false, true);
  const std::string prefix =
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":12,"model":"tiny",)"
      R"("system_fingerprint":null,"choices":[)";
  std::string out;
  chunks.append_start(&out, 1, {});
  EXPECT_EQ(out, prefix +
                     R"({"index":1,"delta":{"role":"assistant","content":""},"logprobs":null,)" +
                     R"("finish_reason":null}],"usage":null})" + "\n\n");
  out.clear();
  chunks.append_news(&out, {.choice = 1, .text = "x\ny", .calls = {}, .tokens = {}});
  EXPECT_EQ(out, prefix + R"({"index":1,"delta":{"content":"x\ny"},"logprobs":null,)" +
                     R"("finish_reason":null}],"usage":null})" + "\n\n");
  out.clear();
  Ending ending;
  ending.finish = FinishReason::kStop;
  ending.stop_id = 7;
  chunks.append_news(&out, {.calls = {}, .tokens = {}, .ending = ending});
  EXPECT_EQ(out, prefix + R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop",)" +
                     R"("stop_reason":7}],"usage":null})" + "\n\n");
  out.clear();
  chunks.append_end(&out, {3, 2, 0});
  EXPECT_EQ(out, prefix +
                     R"(],"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2,)" +
                     R"("prompt_tokens_details":{"cached_tokens":0}}})" + "\n\ndata: [DONE]\n\n");
}

TEST(Response, WritesReasoningAndCalls) {
  WholeResponse response = one_choice(true);
  ChoiceResult& choice = response.choices[0];
  choice.text.clear();
  choice.reasoning = "Hm";
  choice.calls = {{0, "call_1", "f", R"({"a":1})"}};
  choice.ending.made_calls = true;
  const std::string out = whole_response(response);
  EXPECT_NE(out.find(R"("message":{"role":"assistant","content":null,"reasoning_content":"Hm",)"
                     R"("tool_calls":[{"id":"call_1","type":"function","function":{"name":"f",)"
                     R"("arguments":"{\"a\":1}"}}],"refusal":null},"logprobs":null,)"
                     R"("finish_reason":"tool_calls")"),
            std::string::npos)
      << out;
}

TEST(CompletionWriter, WritesReasoningAndCallsInPieces) {
  CompletionWriter writer(head_of(true), false, false);
  const auto delta = [&](const ChoiceNews& news) {
    std::string out;
    writer.append_news(&out, news);
    const JsonValue event = JsonValue::parse(out.substr(6)).value();
    const size_t begin = out.find(R"("delta":)") + 8;
    return out.substr(begin, out.find(R"(,"logprobs")") - begin);
  };
  EXPECT_EQ(delta({.reasoning = "Hm", .calls = {}, .tokens = {}}), R"({"reasoning_content":"Hm"})");
  EXPECT_EQ(delta({.text = "a", .calls = {{1, "call_1", "f", "{"}}, .tokens = {}}),
            R"({"content":"a","tool_calls":[{"index":1,"id":"call_1","type":"function",)"
            R"("function":{"name":"f","arguments":"{"}}]})");
  EXPECT_EQ(delta({.calls = {{1, {}, {}, "}"}}, .tokens = {}}),
            R"({"tool_calls":[{"index":1,"function":{"arguments":"}"}}]})");
  EXPECT_EQ(delta({.calls = {}, .tokens = {}}), R"({"content":""})");
}

TEST(CompletionWriter, WritesACompletionsEventsWithLogprobs) {
  CompletionWriter chunks(head_of(false), true, false);
  std::string out;
  int64_t offset = 4;
  chunks.append_news(
      &out, {.text = "b", .calls = {}, .tokens = {scored("b", 5, -1.5F)}, .offset = &offset});
  EXPECT_NE(out.find(R"("choices":[{"index":0,"text":"b","logprobs":{"text_offset":[4],)"),
            std::string::npos)
      << out;
  EXPECT_EQ(out.find("usage"), std::string::npos);
  EXPECT_EQ(offset, 5);
  out.clear();
  chunks.append_start(&out, 0, {});
  EXPECT_EQ(out, "");
  chunks.append_end(&out, {3, 2, 0});
  EXPECT_EQ(out, "data: [DONE]\n\n");
}

TEST(ErrorBody, NamesTypeFieldAndCode) {
  EXPECT_EQ(
      error_body(invalid_argument("n: \"x\"", "n")),
      R"({"error":{"message":"n: \"x\"","type":"invalid_request_error","param":"n","code":null}})");
  EXPECT_EQ(error_body({StatusCode::kTooLong, "long"}),
            R"({"error":{"message":"long","type":"invalid_request_error","param":null,)"
            R"("code":"context_length_exceeded"}})");
  EXPECT_NE(error_body({StatusCode::kNotFound, "m", "model"}).find(R"("code":"model_not_found")"),
            std::string::npos);
}

TEST(ErrorBody, HasACodeForEveryFailure) {
  EXPECT_EQ(http_code(StatusCode::kInvalidArgument), 400);
  EXPECT_EQ(http_code(StatusCode::kTooLong), 400);
  EXPECT_EQ(http_code(StatusCode::kUnimplemented), 400);
  EXPECT_EQ(http_code(StatusCode::kUnauthenticated), 401);
  EXPECT_EQ(http_code(StatusCode::kNotFound), 404);
  EXPECT_EQ(http_code(StatusCode::kResourceExhausted), 429);
  EXPECT_EQ(http_code(StatusCode::kInternal), 500);
  EXPECT_EQ(http_code(StatusCode::kUnavailable), 503);
  EXPECT_EQ(http_code(StatusCode::kCancelled), 503);
  EXPECT_EQ(http_code(StatusCode::kDeadlineExceeded), 504);
}

TEST(ModelList, NamesEveryAlias) {
  const ModelInfo model{{"tiny", "alias"}, 4096, 99};
  const JsonValue list = JsonValue::parse(model_list(model)).value();
  ASSERT_EQ(list.find("data")->as_array()->size(), 2U);
  const JsonValue& second = (*list.find("data")->as_array())[1];
  EXPECT_EQ(*second.find("id")->as_string(), "alias");
  EXPECT_EQ(*second.find("root")->as_string(), "tiny");
  EXPECT_EQ(*second.find("max_model_len")->as_integer(), 4096);
}

}  // namespace
}  // namespace sluice
