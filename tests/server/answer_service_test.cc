// Tools and reasoning through the whole service: template, engine and parsers.
#include <gtest/gtest.h>

#include "server/local_service.h"
#include "tests/fakes/scripted_runner.h"
#include "tests/server/service_fixture.h"

namespace sluice {
namespace {

constexpr std::string_view kCall =
    "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
constexpr const char* kTemplate =
    "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% if think %}<think>{% endif %}{% endif %}";

// A service whose model says `answer` to a chat, in the format of the given parsers.
class AnswerServiceTest : public testing::Test {
 protected:
  void serve(std::string_view answer, const AnswerFormatOptions& format) {
    std::vector<TokenId> script = byte_ids(answer);
    script.push_back(kEos);
    service.emplace(std::make_unique<ScriptedRunner>(std::vector<std::vector<TokenId>>{script}));
    auto text = std::make_shared<ModelText>();
    text->tokenizer = std::make_unique<const FakeTokenizer>(
        FakeTokenizer::bytes({"<s>", "</s>", "<|im_start|>", "<|im_end|>"}));
    text->chat_template = ChatTemplate::compile(kTemplate).value();
    text->answer = make_answer_format(format, kTemplate, *text->tokenizer);
    ServedModel model = service->served();
    model.text = std::move(text);
    (*service)->open(std::move(model));
  }

  // "reasoning|text|name{arguments}|finish" of the answer to a chat.
  std::string ask(GenerateCall call = {}) {
    call.prompt = std::vector<ChatMessage>{{.role = "user", .content = "hi", .name = {}}};
    auto generation = (*service)->generate(std::move(call));
    if (!generation.ok()) return "refused: " + generation.status().field();
    service->run();
    std::string reasoning, text, calls, finish;
    for (const TextDelta& delta : generation.value()->next()) {
      reasoning += delta.reasoning;
      text += delta.text;
      for (const ToolCallDelta& made : delta.calls) calls += made.name + made.arguments;
      if (delta.finish != FinishReason::kNone) finish = delta.made_calls ? "calls" : "stop";
    }
    prompt_size = generation.value()->prompt_tokens().size();
    return reasoning + "|" + text + "|" + calls + "|" + finish;
  }

  static GenerateCall offering(ToolChoice choice = ToolChoice::kAuto) {
    GenerateCall call;
    call.tools = std::make_shared<const JsonValue>(
        JsonValue::parse(R"([{"type":"function","function":{"name":"f"}}])").value());
    call.tool_choice = choice;
    return call;
  }

  std::optional<ServiceUnderTest> service;
  size_t prompt_size = 0;
};

TEST_F(AnswerServiceTest, ReadsTheCallsOfAChatThatOffersTools) {
  serve("One moment. " + std::string(kCall), {.calls = "hermes"});
  EXPECT_EQ(ask(offering()), "|One moment.|f{\"a\": 1}|calls");
  const size_t with_tools = prompt_size;
  EXPECT_EQ(ask(), "|One moment. " + std::string(kCall) + "||stop");
  EXPECT_EQ(ask(offering(ToolChoice::kNone)), "|One moment. " + std::string(kCall) + "||stop");
  EXPECT_EQ(prompt_size + 1, with_tools);  // the template did not see the tool
}

TEST_F(AnswerServiceTest, LeavesCallsInTheTextWhereTheOperatorSaysSo) {
  serve(kCall, {.calls = "hermes", .auto_calls = false});
  EXPECT_EQ(ask(offering()), "|" + std::string(kCall) + "||stop");
}

TEST_F(AnswerServiceTest, KnowsReasoningThatThePromptOpens) {
  serve("Hm.</think>\n\n" + std::string(kCall), {.calls = "hermes", .reasoning = "qwen3"});
  GenerateCall thinking = offering();
  thinking.template_variables =
      std::make_shared<const JsonValue>(JsonValue::parse(R"({"think": true})").value());
  EXPECT_EQ(ask(thinking), "Hm.||f{\"a\": 1}|calls");
  EXPECT_EQ(ask(offering()), "|Hm.</think>|f{\"a\": 1}|calls");
}

TEST_F(AnswerServiceTest, RefusesToForceWhatHasNoForm) {
  serve("x", {.calls = "pythonic"});
  EXPECT_EQ(ask(offering(ToolChoice::kRequired)), "refused: tool_choice");
}

}  // namespace
}  // namespace sluice
