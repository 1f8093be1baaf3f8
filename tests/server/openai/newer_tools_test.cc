// Tools in /v1/responses and /v1/messages: offers, calls and answers in, calls out.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/openai/api_request.h"
#include "server/openai/messages_writer.h"
#include "server/openai/responses_writer.h"

namespace sluice {
namespace {

using Messages = std::vector<ChatMessage>;

std::string json_of(const JsonValue& value) {
  std::string out;
  append_json(&out, value);
  return out;
}

// "role:content", with what else the template sees.
std::vector<std::string> turns_of(const Result<ApiRequest>& request) {
  std::vector<std::string> out;
  for (const ChatMessage& message : std::get<Messages>(request.value().prompts.at(0))) {
    out.push_back(message.role + ":" + (message.has_content ? message.content : "-") +
                  (message.more == nullptr ? "" : json_of(*message.more)));
  }
  return out;
}

constexpr const char* kCallOfTemplate =
    R"({"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":{"a":1}}},)"
    R"({"id":"c2","type":"function","function":{"name":"g","arguments":{}}}]})";
constexpr const char* kTool =
    R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}])";

TEST(ResponsesTools, BecomeAChats) {
  const Result<ApiRequest> request = parse_responses_request(
      R"({"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"}}],
          "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,"input":[
          {"role":"user","content":"u"},{"type":"reasoning","id":"rs_1","summary":[]},
          {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
          {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
          {"type":"function_call_output","call_id":"c1","output":"one"},
          {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]}]})",
      {});
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(turns_of(request),
            (std::vector<std::string>{"user:u", std::string("assistant:-") + kCallOfTemplate,
                                      R"(tool:one{"tool_call_id":"c1"})",
                                      R"(tool:two{"tool_call_id":"c2"})"}));
  EXPECT_EQ(json_of(*request->call.tools), kTool);
  EXPECT_EQ(request->call.tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(request->call.required_tool, "f");
  EXPECT_FALSE(request->call.parallel_tool_calls);
}

TEST(MessagesTools, BecomeAChats) {
  const Result<ApiRequest> request = parse_messages_request(
      R"({"max_tokens":5,"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},
                                   "cache_control":{"type":"ephemeral"}}],
          "tool_choice":{"type":"any","disable_parallel_tool_use":true},"messages":[
          {"role":"user","content":"u"},
          {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},
            {"type":"tool_use","id":"c1","name":"f","input":{"a":1}},
            {"type":"tool_use","id":"c2","name":"g","input":{}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"one"},
            {"type":"tool_result","tool_use_id":"c2","content":[{"type":"text","text":"two"}]},
            {"type":"text","text":"and?"}]}]})",
      {});
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(turns_of(request),
            (std::vector<std::string>{"user:u", std::string("assistant:-") + kCallOfTemplate,
                                      R"(tool:one{"tool_call_id":"c1"})",
                                      R"(tool:two{"tool_call_id":"c2"})", "user:and?"}));
  EXPECT_EQ(json_of(*request->call.tools), kTool);
  EXPECT_EQ(request->call.tool_choice, ToolChoice::kRequired);
  EXPECT_TRUE(request->call.required_tool.empty());
  EXPECT_FALSE(request->call.parallel_tool_calls);
}

TEST(NewerTools, OthersThanFunctionsAreRefused) {
  const auto responses = [](const std::string& members) {
    return parse_responses_request(R"({"input":"u",)" + members + "}", {}).status().field();
  };
  EXPECT_EQ(responses(R"("tools":[{"type":"web_search"}])"), "tools[0].type");
  EXPECT_EQ(responses(R"("tools":["f"])"), "tools[0]");
  EXPECT_EQ(responses(R"("tool_choice":"always")"), "tool_choice");
  EXPECT_EQ(responses(R"("tool_choice":{"type":"mcp"})"), "tool_choice");
  const auto messages = [](const std::string& members) {
    return parse_messages_request(
               R"({"max_tokens":1,"messages":[{"role":"user","content":"u"}],)" + members + "}", {})
        .status()
        .field();
  };
  EXPECT_EQ(messages(R"("tools":[{"type":"bash_20250124","name":"bash"}])"), "tools[0].type");
  EXPECT_EQ(messages(R"("tool_choice":"auto")"), "tool_choice");
  EXPECT_EQ(messages(R"("tool_choice":{"type":"tool"})"), "tool_choice");
}

Ending calling() {
  Ending out;
  out.finish = FinishReason::kStop;
  out.made_calls = true;
  return out;
}

// Reasoning, text and two calls, in pieces.
std::string stream_of(ResponseWriter& writer) {
  std::string out;
  writer.append_start(&out, 0, {});
  writer.append_news(&out, {.reasoning = "hm", .calls = {}, .tokens = {}});
  writer.append_news(&out, {.text = "see", .calls = {{0, "c1", "f", R"({"a)"}}, .tokens = {}});
  writer.append_news(&out, {.calls = {{0, "", "", R"(":1})"}, {1, "c2", "g", "{}"}}, .tokens = {}});
  writer.append_news(&out, {.calls = {}, .tokens = {}, .ending = calling()});
  writer.append_end(&out, {});
  return out;
}

WholeResponse whole() {
  WholeResponse out;
  out.choices.resize(1);
  out.choices[0].reasoning = "hm";
  out.choices[0].text = "see";
  out.choices[0].calls = {{0, "c1", "f", R"({"a":1})"}, {1, "c2", "g", "{}"}};
  out.choices[0].ending = calling();
  return out;
}

std::vector<JsonValue> events_of(std::string_view stream) {
  std::vector<JsonValue> out;
  constexpr std::string_view kData = "\ndata: ";
  for (size_t at = stream.find(kData); at != std::string_view::npos;
       at = stream.find(kData, at + 1)) {
    const size_t begin = at + kData.size();
    out.push_back(
        JsonValue::parse(stream.substr(begin, stream.find("\n\n", begin) - begin)).value());
  }
  return out;
}

std::string type_of(const JsonValue& event) { return *event.find("type")->as_string(); }

TEST(MessagesTools, AreBlocksOfTheirOwn) {
  MessagesWriter writer({.id = "msg_1", .model = "m"});
  EXPECT_NE(
      writer.whole(whole()).find(
          R"("content":[{"type":"thinking","thinking":"hm","signature":""},)"
          R"({"type":"text","text":"see"},{"type":"tool_use","id":"c1","name":"f","input":{"a":1}},)"
          R"({"type":"tool_use","id":"c2","name":"g","input":{}}],"stop_reason":"tool_use")"),
      std::string::npos);
  MessagesWriter streaming({.id = "msg_1", .model = "m"});
  std::string log;
  for (const JsonValue& event : events_of(stream_of(streaming))) {
    if (const JsonValue* block = event.find("content_block")) log += "<" + type_of(*block);
    const JsonValue* delta = event.find("delta");
    if (delta != nullptr && delta->find("type") != nullptr) log += " " + type_of(*delta);
    if (type_of(event) == "content_block_stop") {
      log += " " + std::to_string(*event.find("index")->as_integer()) + ">";
    }
  }
  EXPECT_EQ(log,
            "<thinking thinking_delta 0><text text_delta 1>"
            "<tool_use input_json_delta input_json_delta 2><tool_use input_json_delta 3>");
}

TEST(MessagesTools, ArgumentsThatALimitCutOffAreLeftOut) {
  WholeResponse cut = whole();
  cut.choices[0].calls[1].arguments = R"({"b":)";
  MessagesWriter writer({.id = "msg_1", .model = "m"});
  EXPECT_TRUE(JsonValue::parse(writer.whole(cut)).ok());
}

TEST(ResponsesTools, AreItemsOfTheirOwn) {
  ResponsesWriter streaming({.id = "resp_1", .model = "m"}, {});
  const std::vector<JsonValue> events = events_of(stream_of(streaming));
  const JsonValue::Array& output = *events.back().find("response")->find("output")->as_array();
  std::vector<std::string> types;
  for (const JsonValue& item : output) types.push_back(type_of(item));
  EXPECT_EQ(types,
            (std::vector<std::string>{"reasoning", "message", "function_call", "function_call"}));
  EXPECT_EQ(*output[2].find("arguments")->as_string(), R"({"a":1})");
  EXPECT_EQ(*output[2].find("call_id")->as_string(), "c1");
  EXPECT_EQ(*output[3].find("name")->as_string(), "g");
  size_t added = 0;
  std::string arguments;
  for (const JsonValue& event : events) {
    if (type_of(event) == "response.output_item.added") {
      EXPECT_EQ(*event.find("output_index")->as_integer(), static_cast<int64_t>(added++));
    }
    if (type_of(event) == "response.function_call_arguments.delta") {
      arguments += *event.find("delta")->as_string();
    }
  }
  EXPECT_EQ(added, 4U);
  EXPECT_EQ(arguments, R"({"a":1}{})");
  ResponsesWriter writer({.id = "resp_1", .model = "m"}, {});
  const JsonValue answer = JsonValue::parse(writer.whole(whole())).value();
  EXPECT_EQ(json_of(*answer.find("output")),
            json_of(*events.back().find("response")->find("output")));
}

TEST(ResponsesTools, AreRepeatedAsTheClientWroteThem) {
  const Result<ApiRequest> request = parse_responses_request(
      R"({"input":"u","tools":[{"type":"function","name":"f","parameters":{}}],
          "tool_choice":"required"})",
      {});
  ResponsesWriter writer({.id = "resp_1", .model = "m"}, request->call);
  const std::string answer = writer.whole(whole());
  EXPECT_NE(
      answer.find(R"("tools":[{"type":"function","strict":false,"parameters":{},"name":"f"}],)"
                  R"("tool_choice":"required")"),
      std::string::npos)
      << answer;
}

}  // namespace
}  // namespace sluice
