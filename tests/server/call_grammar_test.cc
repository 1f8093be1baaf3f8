// Forms of forced calls: what they let through is a call that the parser of the same model reads.
#include "server/call_grammar.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "base/text.h"
#include "server/grammar/token_grammars.h"
#include "server/text/answer/answer_parser.h"
#include "server/tools.h"
#include "tests/server/text/fake_tokenizer.h"

namespace sluice {
namespace {

constexpr int kVocab = 256;
constexpr const char* kTools = R"([
    {"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{
        "city":{"enum":["Rome","Oslo"]}},"required":["city"],"additionalProperties":false}}},
    {"type":"function","function":{"name":"g"}}])";

GenerateCall forcing(const std::string& tool = {}, bool parallel = true) {
  GenerateCall call;
  call.tools = std::make_shared<const JsonValue>(JsonValue::parse(kTools).value());
  call.tool_choice = ToolChoice::kRequired;
  call.required_tool = tool;
  call.parallel_tool_calls = parallel;
  return call;
}

AnswerFormat format_of(const char* calls, const char* reasoning = "none") {
  return make_answer_format({.calls = calls, .reasoning = reasoning}, {}, FakeTokenizer::bytes({}));
}

std::unique_ptr<GrammarWalk> walk_of(const GenerateCall& call, const AnswerFormat& format,
                                     bool opened = false) {
  static const FakeTokenizer kTokenizer = FakeTokenizer::bytes({});
  static const TokenGrammars kGrammars(kTokenizer, kVocab, 1 << 24);
  const auto spec = call_grammar(call, format, opened);
  EXPECT_TRUE(spec.ok() && spec.value()) << spec.status().message();
  const Result<CompiledGrammar> compiled = kGrammars.compile(*spec.value());
  EXPECT_TRUE(compiled.ok()) << compiled.status().message() << spec.value()->text;
  return compiled->grammar->walk();
}

bool fits(GrammarWalk& walk, std::string_view text) {
  for (const char byte : text) {
    if (!walk.accept(static_cast<uint8_t>(byte))) return false;
  }
  return walk.complete();
}

TEST(CallGrammar, LetsThroughCallsOfTheModelsForm) {
  const std::string hermes =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
  EXPECT_TRUE(fits(*walk_of(forcing(), format_of("hermes")), hermes));
  EXPECT_TRUE(fits(*walk_of(forcing(), format_of("hermes")), hermes + "\n" + hermes));
  EXPECT_FALSE(fits(*walk_of(forcing(), format_of("hermes")), "Hello"));
  EXPECT_FALSE(fits(*walk_of(forcing("g"), format_of("hermes")), hermes));
  const std::string g = R"({"name": "g", "parameters": {}})";
  EXPECT_TRUE(fits(*walk_of(forcing("g"), format_of("llama3_json")), g));
  EXPECT_TRUE(fits(*walk_of(forcing(), format_of("llama3_json")), g + "; " + g));
  EXPECT_FALSE(fits(*walk_of(forcing("g"), format_of("llama3_json")), g + "; " + g));
  EXPECT_FALSE(fits(*walk_of(forcing({}, false), format_of("llama3_json")), g + "; " + g));
  EXPECT_TRUE(fits(*walk_of(forcing(), format_of("mistral")),
                   R"([TOOL_CALLS] [{"name": "g", "arguments": {}}, )"
                   R"({"name": "f", "arguments": {"city": "Rome"}}])"));
}

TEST(CallGrammar, LeavesReasoningFree) {
  const std::string call = "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  const AnswerFormat format = format_of("hermes", "qwen3");
  EXPECT_TRUE(fits(*walk_of(forcing(), format), call));
  EXPECT_TRUE(fits(*walk_of(forcing(), format), "<think>g!</think>\n\n" + call));
  EXPECT_FALSE(fits(*walk_of(forcing(), format), "<think>g!</think>\n\nNo."));
  EXPECT_TRUE(fits(*walk_of(forcing(), format, true), "g <tool_call>?\n</think>" + call));
  EXPECT_FALSE(fits(*walk_of(forcing(), format, true), call));
}

TEST(CallGrammar, HoldsCallsOfStrictToolsToTheirSchemas) {
  GenerateCall call = forcing();
  call.tool_choice = ToolChoice::kAuto;
  EXPECT_FALSE(call_grammar(call, format_of("hermes"), false).value());
  std::string tools = kTools;
  tools.replace(tools.find("\"name\":\"f\""), 10, R"("strict":true,"name":"f")");
  call.tools = std::make_shared<const JsonValue>(JsonValue::parse(tools).value());
  const auto text = [](const char* arguments) {
    return str("One moment.\n<tool_call>\n{\"name\": ", arguments, "}\n</tool_call>");
  };
  const AnswerFormat format = format_of("hermes");
  EXPECT_TRUE(fits(*walk_of(call, format), "Hello."));
  EXPECT_TRUE(fits(*walk_of(call, format), text(R"("f", "arguments": {"city": "Rome"})")));
  EXPECT_FALSE(fits(*walk_of(call, format), text(R"("f", "arguments": {"city": "Bonn"})")));
  EXPECT_TRUE(fits(*walk_of(call, format), text(R"("g", "arguments": {"x": 1})")));
  EXPECT_EQ(call_grammar(call, format_of("pythonic"), false).status().field(),
            "tools[0].function.strict");
}

TEST(CallGrammar, RefusesWhatItCannotForce) {
  for (const char* syntax : {"none", "pythonic"}) {
    const auto spec = call_grammar(forcing(), format_of(syntax), false);
    EXPECT_EQ(spec.status().code(), StatusCode::kUnimplemented);
    EXPECT_EQ(spec.status().field(), "tool_choice");
  }
}

TEST(CallGrammar, RefusesSchemasThatItCannotEnforce) {
  GenerateCall call = forcing();
  const auto offer = [&](const char* more) {
    call.tools = std::make_shared<const JsonValue>(
        JsonValue::parse(str(R"([{"type":"function","function":{"name":"f","parameters":)",
                             R"({"type":"object","not":{}})", more, "}}]"))
            .value());
    return call_grammar(call, format_of("hermes"), false).status().field();
  };
  EXPECT_EQ(offer(""), "tools[0].function.parameters");
  EXPECT_EQ(offer(R"(,"strict":false)"), "");
  call.tool_choice = ToolChoice::kAuto;
  EXPECT_EQ(offer(""), "");
  EXPECT_EQ(offer(R"(,"strict":true)"), "tools[0].function.parameters");
}

// Whatever a model likes: behind the mask it makes calls, and nothing else.
TEST(CallGrammar, RandomAnswersAreCalls) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const char* syntax : {"hermes", "llama3_json", "mistral"}) {
    const AnswerFormat format = format_of(syntax);
    const GenerateCall call = forcing({}, random() % 2 == 0);
    const std::unique_ptr<GrammarWalk> walk = walk_of(call, format);
    std::string text;
    std::vector<uint32_t> mask(mask_words(kVocab));
    while (text.size() < 4000 && !(walk->complete() && random() % 2 == 0)) {
      walk->fill(mask);
      std::vector<TokenId> allowed;
      for (TokenId id = 0; id < kVocab; ++id) {
        const bool space = id == ' ' || id == '\n' || id == '\t' || id == '\r';
        if (((mask[static_cast<size_t>(id) / 32] >> (id % 32)) & 1U) == 0) continue;
        for (int i = 0; i < (space ? 1 : 20); ++i) allowed.push_back(id);
      }
      if (allowed.empty()) break;
      const TokenId id = allowed[random() % allowed.size()];
      ASSERT_TRUE(walk->accept(id));
      text += static_cast<char>(id);
    }
    ASSERT_TRUE(walk->complete()) << text;
    AnswerParser parser({.calls = format.calls, .tools = tool_names(*call.tools)});
    AnswerParts parts;
    parser.push(text, parts);
    parser.finish(parts);
    const std::vector<AnswerPart> all = parts.take();
    ASSERT_FALSE(all.empty());
    for (const AnswerPart& part : all) {
      EXPECT_EQ(part.kind, AnswerPart::Kind::kCall) << text;
      EXPECT_TRUE(JsonValue::parse(part.text).ok()) << part.text;
    }
  }
}

}  // namespace
}  // namespace sluice
