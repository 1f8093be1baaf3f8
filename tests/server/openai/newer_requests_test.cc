// Bodies of /v1/responses and /v1/messages as chats, and what is refused in them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/openai/api_request.h"

namespace sluice {
namespace {

using Messages = std::vector<ChatMessage>;

const Messages& messages_of(const Result<ApiRequest>& request) {
  return std::get<Messages>(request.value().prompts.at(0));
}

std::string text_of(const Messages& messages) {
  std::string out;
  for (const ChatMessage& message : messages) out += message.role + ":" + message.content + ";";
  return out;
}

TEST(ResponsesRequest, IsAChat) {
  const Result<ApiRequest> request = parse_responses_request(
      R"({"model":"m","instructions":"be brief","max_output_tokens":7,"top_logprobs":2,"input":[
          {"role":"developer","content":"d"},
          {"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},
          {"type":"message","id":"msg_1","status":"completed","role":"assistant",
           "content":[{"type":"output_text","text":"b","annotations":[]}]},
          {"role":"user","content":"c"}]})",
      {});
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(text_of(messages_of(request)), "system:be brief;system:d;user:a;assistant:b;user:c;");
  EXPECT_EQ(request->call.sampling.max_tokens, 7);
  EXPECT_TRUE(request->call.max_tokens_given);
  EXPECT_TRUE(request->call.sampling.logprobs);
  EXPECT_EQ(request->call.sampling.num_top_logprobs, 2);
  const Result<ApiRequest> text = parse_responses_request(R"({"input":"hi"})", {});
  EXPECT_EQ(text_of(messages_of(text)), "user:hi;");
  EXPECT_FALSE(text->call.max_tokens_given);
}

TEST(ResponsesRequest, AsksForScoresByInclude) {
  const Result<ApiRequest> request = parse_responses_request(
      R"({"input":"a","include":["message.output_text.logprobs","reasoning.encrypted_content"]})",
      {});
  EXPECT_TRUE(request->call.sampling.logprobs);
  EXPECT_EQ(request->call.sampling.num_top_logprobs, 0);
}

struct Refusal {
  const char* members;
  const char* field;
  const char* words;
};

class RefusedResponses : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedResponses, NamesTheField) {
  std::string body = std::string("{") + GetParam().members + "}";
  if (body.find("\"input\"") == std::string::npos) body.insert(1, R"("input":"a",)");
  const Status status = parse_responses_request(body, {}).status();
  EXPECT_EQ(status.field(), GetParam().field) << body;
  EXPECT_NE(status.message().find(GetParam().words), std::string::npos) << status.message();
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, RefusedResponses,
    testing::Values(
        Refusal{R"("store":true)", "store", "not kept"},
        Refusal{R"("previous_response_id":"resp_1")", "previous_response_id", "\"input\""},
        Refusal{R"("conversation":"conv_1")", "conversation", "leave it out"},
        Refusal{R"("background":true)", "background", "leave it out"},
        Refusal{R"("truncation":"auto")", "truncation", "never cut"},
        Refusal{R"("reasoning":{"effort":"low"})", "reasoning", "leave it out"},
        Refusal{R"("n":2)", "n", "leave it out"},
        Refusal{R"("text":{"verbosity":"low"})", "text.verbosity", "leave it out"},
        Refusal{R"("text":3)", "text", "an object"},
        Refusal{R"("include":["x",1])", "include[1]", "a string"},
        Refusal{R"("input":[])", "input", "at least one"},
        Refusal{R"("input":[{"type":"function_call","call_id":"c","name":"f"}])",
                "input[0].arguments", "a string"},
        Refusal{R"("input":[{"type":"function_call_output","call_id":"c"}])", "input[0].content",
                "a string"},
        Refusal{R"("input":3)", "input", "a string or an array"},
        Refusal{R"("input":[{"type":"item_reference","id":"x"}])", "input[0].type",
                "function calls are"},
        Refusal{R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])",
                "input[0].content[0].type", "only text parts"}));

TEST(MessagesRequest, IsAChat) {
  const Result<ApiRequest> request = parse_messages_request(
      R"({"model":"m","max_tokens":5,"stop_sequences":["x"],"top_k":3,
          "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
          "messages":[{"role":"user","content":"a"},
                      {"role":"user","content":[{"type":"text","text":"b"}]},
                      {"role":"assistant","content":"c"},{"role":"user","content":"d"}]})",
      {});
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(text_of(messages_of(request)), "system:s;user:a\nb;assistant:c;user:d;");
  EXPECT_EQ(request->call.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(request->call.sampling.top_k, 3);
  EXPECT_EQ(request->call.sampling.max_tokens, 5);
  EXPECT_FALSE(request->call.continue_final_message);
}

TEST(MessagesRequest, GivesTheAnswerAForm) {
  const Result<ApiRequest> request = parse_messages_request(
      R"({"max_tokens":5,"messages":[{"role":"user","content":"a"}],
          "output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}})",
      {});
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(request->call.grammar->text, R"({"type":"object"})");
  EXPECT_EQ(request->call.grammar->field, "output_config.format");
}

TEST(MessagesRequest, GoesOnWithAnAnswerThatTheClientBegan) {
  const Result<ApiRequest> request = parse_messages_request(
      R"({"max_tokens":5,"messages":[{"role":"user","content":"a"},
                                     {"role":"assistant","content":"("}]})",
      {});
  EXPECT_TRUE(request->call.continue_final_message);
}

TEST(MessagesRequest, NeedsALengthExceptWhereTokensAreCounted) {
  constexpr const char* kBody = R"({"messages":[{"role":"user","content":"a"}]})";
  EXPECT_EQ(parse_messages_request(kBody, {}).status().field(), "max_tokens");
  EXPECT_TRUE(parse_count_request(kBody).ok());
}

class RefusedMessages : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedMessages, NamesTheField) {
  std::string body = std::string(R"({"max_tokens":5,)") + GetParam().members + "}";
  if (body.find("\"messages\"") == std::string::npos) {
    body.insert(1, R"("messages":[{"role":"user","content":"a"}],)");
  }
  const Status status = parse_messages_request(body, {}).status();
  EXPECT_EQ(status.field(), GetParam().field) << body;
  EXPECT_NE(status.message().find(GetParam().words), std::string::npos) << status.message();
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, RefusedMessages,
    testing::Values(
        Refusal{R"("thinking":{"type":"enabled","budget_tokens":1024})", "thinking", "disabled"},
        Refusal{R"("thinking":true)", "thinking", "an object"},
        Refusal{R"("output_config":{"effort":"high"})", "output_config.effort", "leave it out"},
        Refusal{R"("system":3)", "system", "a string or an array"},
        Refusal{R"("container":"c")", "container", "leave it out"},
        Refusal{R"("mcp_servers":[{}])", "mcp_servers", "leave it out"},
        Refusal{R"("messages":null)", "messages", "an array"},
        Refusal{R"("messages":[1])", "messages[0]", "an object"},
        Refusal{R"("messages":[{"role":"user","content":[{"type":"tool_result"}]}])",
                "messages[0].content[0].tool_use_id", "a string"},
        Refusal{R"("messages":[{"role":"assistant","content":[{"type":"tool_use","id":"c",
                "name":"f","input":"{}"}]}])",
                "messages[0].content[0].input", "an object"},
        Refusal{R"("messages":[{"content":[]}])", "messages[0].role", "got null"},
        Refusal{R"("messages":[{"role":0,"content":[]}])", "messages[0].role", "assistant"},
        Refusal{R"("messages":[{"role":"tool","content":"a"}])", "messages[0].role", "assistant"},
        Refusal{R"("messages":[{"role":"user","content":[{"type":"image","source":{}}]}])",
                "messages[0].content[0].type", "only text parts"}));

}  // namespace
}  // namespace sluice
