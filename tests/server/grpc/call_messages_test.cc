// Fields of proto requests and answers, both ways.
#include "server/grpc/call_messages.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(CallMessages, ARequestWithoutFieldsTakesTheDefaults) {
  SamplingParams defaults;
  defaults.temperature = 0.3F;
  defaults.top_k = 7;
  v1::GenerateRequest request;
  request.set_text("hi");
  const GenerateCall call = to_call(request, defaults).value();
  EXPECT_EQ(std::get<std::string>(call.prompt), "hi");
  EXPECT_EQ(call.sampling.temperature, 0.3F);
  EXPECT_EQ(call.sampling.top_k, 7);
  EXPECT_EQ(call.sampling.n, 1);
  EXPECT_FALSE(call.sampling.seed);
  EXPECT_FALSE(call.sampling.logprobs);
  EXPECT_FALSE(call.sampling.prompt_logprobs);
  EXPECT_FALSE(call.max_tokens_given);
  EXPECT_TRUE(call.add_special_tokens);
  EXPECT_TRUE(call.skip_special_tokens);
  EXPECT_FALSE(call.include_stop_str_in_output);
}

TEST(CallMessages, ToolsArriveAsOpenAiWritesThem) {
  v1::GenerateRequest request;
  v1::Chat& chat = *request.mutable_chat();
  v1::Tool& tool = *chat.add_tools();
  tool.set_name("f");
  tool.set_parameters_json(R"({"type":"object"})");
  tool.set_strict(true);
  chat.set_tool_choice(v1::TOOL_CHOICE_REQUIRED);
  chat.set_required_tool("f");
  chat.set_parallel_tool_calls(false);
  v1::ChatMessage& made = *chat.add_messages();
  made.set_role("assistant");
  v1::ToolCall& old = *made.add_tool_calls();
  old.set_id("1");
  old.set_name("f");
  old.set_arguments(R"({"x":[1]})");
  v1::ChatMessage& answer = *chat.add_messages();
  answer.set_role("tool");
  answer.set_tool_call_id("1");
  const GenerateCall call = to_call(request, SamplingParams()).value();
  const auto as_text = [](const JsonValue& value) {
    std::string out;
    append_json(&out, value);
    return out;
  };
  EXPECT_EQ(as_text(*call.tools), R"([{"type":"function","function":{"name":"f","description":"",)"
                                  R"("parameters":{"type":"object"},"strict":true}}])");
  EXPECT_EQ(call.tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(call.required_tool, "f");
  EXPECT_FALSE(call.parallel_tool_calls);
  const auto& messages = std::get<std::vector<ChatMessage>>(call.prompt);
  EXPECT_FALSE(messages[0].has_content);
  EXPECT_EQ(as_text(*messages[0].more), R"({"tool_calls":[{"id":"1","type":"function",)"
                                        R"("function":{"name":"f","arguments":{"x":[1]}}}]})");
  EXPECT_EQ(as_text(*messages[1].more), R"({"tool_call_id":"1"})");

  old.set_arguments("[");
  EXPECT_EQ(to_call(request, SamplingParams()).status().field(),
            "messages[0].tool_calls[0].arguments");
  tool.set_parameters_json("[");
  old.set_arguments("{}");
  EXPECT_EQ(to_call(request, SamplingParams()).status().field(), "chat.tools[0].parameters_json");
}

TEST(CallMessages, AnswersCarryReasoningAndCalls) {
  TextDelta delta;
  delta.reasoning = "Hm";
  delta.calls = {{2, "id", "f", "{"}};
  delta.finish = FinishReason::kStop;
  delta.made_calls = true;
  v1::GenerateResponse response;
  add_choice(delta, {}, &response);
  const v1::ChoiceDelta& choice = response.choices(0);
  EXPECT_EQ(choice.reasoning(), "Hm");
  EXPECT_EQ(choice.tool_calls(0).index(), 2);
  EXPECT_EQ(choice.tool_calls(0).id() + choice.tool_calls(0).name(), "idf");
  EXPECT_EQ(choice.tool_calls(0).arguments(), "{");
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_TOOL_CALLS);
}

TEST(CallMessages, EachFormArrives) {
  using Kind = GrammarSpec::Kind;
  const auto form_of = [](const v1::StructuredOutput& form) {
    v1::GenerateRequest request;
    request.set_text("hi");
    *request.mutable_structured_output() = form;
    return to_call(request, SamplingParams()).value().grammar;
  };
  v1::StructuredOutput form;
  EXPECT_FALSE(form_of(form));
  form.set_json_object(false);
  EXPECT_FALSE(form_of(form));
  form.set_json_object(true);
  EXPECT_EQ(form_of(form)->kind, Kind::kJsonObject);
  form.set_json_schema("{}");
  EXPECT_EQ(form_of(form)->kind, Kind::kJsonSchema);
  EXPECT_EQ(form_of(form)->text, "{}");
  form.set_regex("a+");
  EXPECT_EQ(form_of(form)->kind, Kind::kRegex);
  form.set_grammar("root ::= \"a\"");
  EXPECT_EQ(form_of(form)->kind, Kind::kEbnf);
  form.mutable_choice()->add_texts("yes");
  EXPECT_EQ(form_of(form)->kind, Kind::kChoice);
  EXPECT_EQ(form_of(form)->choices, std::vector<std::string>{"yes"});
}

TEST(CallMessages, EveryFieldArrives) {
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(5);
  request.set_add_special_tokens(false);
  request.add_stop("end");
  request.set_include_stop_in_output(true);
  request.set_skip_special_tokens(false);
  request.set_priority(-3);
  request.set_cache_salt("salt");
  request.set_request_id("me");
  v1::SamplingParams& in = *request.mutable_sampling();
  in.set_n(2);
  in.set_max_tokens(0);
  in.set_min_tokens(4);
  in.set_temperature(0);
  in.set_top_p(0.5F);
  in.set_top_k(9);
  in.set_min_p(0.25F);
  in.set_repetition_penalty(1.5F);
  in.set_presence_penalty(-1);
  in.set_frequency_penalty(2);
  in.set_seed(0);
  in.set_ignore_eos(true);
  in.add_stop_token_ids(11);
  (*in.mutable_logit_bias())[12] = -100;
  in.add_allowed_token_ids(13);
  in.add_banned_token_ids(14);
  in.set_logprobs(0);
  in.set_prompt_logprobs(3);
  const GenerateCall call = to_call(request, SamplingParams()).value();
  EXPECT_EQ(std::get<std::vector<TokenId>>(call.prompt), std::vector<TokenId>{5});
  EXPECT_FALSE(call.add_special_tokens);
  EXPECT_EQ(call.stop, std::vector<std::string>{"end"});
  EXPECT_TRUE(call.include_stop_str_in_output);
  EXPECT_FALSE(call.skip_special_tokens);
  EXPECT_EQ(call.priority, -3);
  EXPECT_EQ(call.cache_salt, "salt");
  EXPECT_EQ(call.request_id, "me");
  const SamplingParams& out = call.sampling;
  EXPECT_EQ(out.n, 2);
  EXPECT_TRUE(call.max_tokens_given);
  EXPECT_EQ(out.max_tokens, 0);
  EXPECT_EQ(out.min_tokens, 4);
  EXPECT_TRUE(out.greedy());
  EXPECT_EQ(out.top_p, 0.5F);
  EXPECT_EQ(out.top_k, 9);
  EXPECT_EQ(out.min_p, 0.25F);
  EXPECT_EQ(out.repetition_penalty, 1.5F);
  EXPECT_EQ(out.presence_penalty, -1);
  EXPECT_EQ(out.frequency_penalty, 2);
  EXPECT_EQ(out.seed, 0U);
  EXPECT_TRUE(out.ignore_eos);
  EXPECT_EQ(out.stop_token_ids, std::vector<TokenId>{11});
  EXPECT_EQ(out.logit_bias, (std::vector<std::pair<TokenId, float>>{{12, -100}}));
  EXPECT_EQ(out.allowed_token_ids, std::vector<TokenId>{13});
  EXPECT_EQ(out.banned_token_ids, std::vector<TokenId>{14});
  EXPECT_TRUE(out.logprobs);
  EXPECT_EQ(out.num_top_logprobs, 0);
  EXPECT_TRUE(out.prompt_logprobs);
  EXPECT_EQ(out.num_prompt_top_logprobs, 3);
}

TEST(CallMessages, AChatKeepsItsMessagesInOrder) {
  v1::TokenizeRequest request;
  for (const char* role : {"system", "user"}) {
    v1::ChatMessage* message = request.mutable_chat()->add_messages();
    message->set_role(role);
    message->set_content(std::string("from ") + role);
  }
  request.mutable_chat()->set_add_generation_prompt(false);
  const GenerateCall call = to_call(request).value();
  const auto& messages = std::get<std::vector<ChatMessage>>(call.prompt);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[1].role, "user");
  EXPECT_EQ(messages[1].content, "from user");
  EXPECT_FALSE(call.add_generation_prompt);
}

TEST(CallMessages, ARequestWithoutAPromptIsRefused) {
  EXPECT_EQ(to_call(v1::GenerateRequest(), SamplingParams()).status().field(), "prompt");
  EXPECT_EQ(to_call(v1::TokenizeRequest()).status().code(), StatusCode::kInvalidArgument);
}

TEST(CallMessages, AnEndNamesWhatTheClientAskedToStopAt) {
  v1::GenerateResponse out;
  TextDelta delta;
  delta.finish = FinishReason::kStop;
  delta.stop_id = 7;
  add_choice(delta, {7, 8}, &out);
  add_choice(delta, {8}, &out);  // the model's own end
  delta.stop_id.reset();
  delta.stop_reason = "END";
  add_choice(delta, {}, &out);
  EXPECT_EQ(out.choices(0).stop_token_id(), 7);
  EXPECT_EQ(out.choices(1).stop_case(), v1::ChoiceDelta::STOP_NOT_SET);
  EXPECT_EQ(out.choices(2).stop_text(), "END");
  EXPECT_EQ(out.choices(2).finish_reason(), v1::FINISH_REASON_STOP);
}

}  // namespace
}  // namespace sluice
