// Tools in requests: what reaches the service, and what is refused.
#include <gtest/gtest.h>

#include <string>

#include "server/openai/api_request.h"

namespace sluice {
namespace {

TEST(ChatRequest, ToolsReachTheTemplate) {
  const auto parsed = parse_chat_request(
      R"({"messages":[{"role":"user","content":"q"},
          {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
           "function":{"name":"f","arguments":"{\"x\": [1]}"}}]},
          {"role":"tool","content":"r","tool_call_id":"1"}],
          "tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto",
          "chat_template_kwargs":{"enable_thinking":false},"continue_final_message":true})",
      {});
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->call.tools->as_array()->size(), 1U);
  EXPECT_EQ(*parsed->call.template_variables->find("enable_thinking")->as_bool(), false);
  EXPECT_TRUE(parsed->call.continue_final_message);
  const auto& messages = std::get<std::vector<ChatMessage>>(parsed->prompts[0]);
  EXPECT_EQ(messages[0].more, nullptr);
  EXPECT_FALSE(messages[1].has_content);
  const JsonValue& call = (*messages[1].more->find("tool_calls")->as_array())[0];
  EXPECT_EQ(call.find("function")->find("arguments")->find("x")->as_array()->size(), 1U);
  EXPECT_EQ(*messages[2].more->find("tool_call_id")->as_string(), "1");
}

TEST(ChatRequest, WhatIsWrongWithToolsIsNamed) {
  const auto refusal = [](const std::string& rest) {
    return parse_chat_request(R"({"messages":[{"role":"user","content":"q")" + rest, {})
        .status()
        .field();
  };
  EXPECT_EQ(refusal(R"(,"tool_calls":[{"function":{"arguments":"{"}}]}]})"),
            "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(refusal(R"(,"tool_calls":{}}]})"), "messages[0].tool_calls");
  EXPECT_EQ(refusal(R"(,"tool_calls":[1]}]})"), "messages[0].tool_calls[0]");
  EXPECT_EQ(refusal(R"(,"tool_call_id":1}]})"), "messages[0].tool_call_id");
  EXPECT_EQ(refusal(R"(}],"tools":{}})"), "tools");
  EXPECT_EQ(refusal(R"(}],"tools":["f"]})"), "tools[0]");
  EXPECT_EQ(refusal(R"(}],"chat_template_kwargs":[1]})"), "chat_template_kwargs");
  EXPECT_EQ(refusal(R"(}],"tool_choice":"maybe"})"), "tool_choice");
  EXPECT_EQ(refusal(R"(}],"tool_choice":5})"), "tool_choice");
  EXPECT_EQ(refusal(R"(}],"tool_choice":{"type":"function"}})"), "tool_choice");
  EXPECT_EQ(refusal(R"(}],"tool_choice":{"type":"function","function":{"name":""}}})"),
            "tool_choice");
  EXPECT_EQ(refusal(R"(}],"tool_choice":{"type":"allowed_tools"}})"), "tool_choice.type");
  EXPECT_EQ(refusal(R"(}],"parallel_tool_calls":"no"})"), "parallel_tool_calls");
}

TEST(ChatRequest, ToolChoiceHasFourForms) {
  const auto call = [](const std::string& choice) {
    return parse_chat_request(R"({"messages":[{"role":"user","content":"q"}],"tool_choice":)" +
                                  choice + R"(,"parallel_tool_calls":false})",
                              {})
        .value()
        .call;
  };
  EXPECT_EQ(call("null").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(call("\"auto\"").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(call("\"none\"").tool_choice, ToolChoice::kNone);
  EXPECT_EQ(call("\"required\"").tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(call("\"required\"").required_tool, "");
  const GenerateCall named = call(R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(named.tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(named.required_tool, "f");
  EXPECT_FALSE(named.parallel_tool_calls);
}

}  // namespace
}  // namespace sluice
