// What is reasoning, text and call in an answer, whatever pieces it comes in.
#include "server/text/answer/answer_parser.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "server/text/json_value.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr const char* kAll[] = {"hermes", "mistral", "llama3_json", "pythonic"};

AnswerParserOptions options_of(const char* calls, const char* reasoning = "") {
  AnswerParserOptions options;
  options.calls = find_call_syntax(calls);
  options.reasoning = find_reasoning_syntax(reasoning);
  options.tools = {"f", "g", "get_weather"};
  return options;
}

// "text" (reasoning) name{arguments} in their order, joined where a cut came between.
std::string parse(const AnswerParserOptions& options, const std::vector<std::string>& pieces) {
  AnswerParser parser(options);
  std::vector<AnswerPart> all;
  const auto take = [&](AnswerParts& parts) {
    for (AnswerPart& part : parts.take()) {
      EXPECT_FALSE(find_invalid_utf8(part.text)) << part.text;
      const bool joined = !all.empty() && all.back().kind == part.kind && part.name.empty();
      if (!joined) {
        all.push_back(std::move(part));
        continue;
      }
      EXPECT_EQ(part.call, all.back().call);
      all.back().text += part.text;
    }
  };
  AnswerParts parts;
  for (const std::string& piece : pieces) {
    parser.push(piece, parts);
    take(parts);
  }
  parser.finish(parts);
  take(parts);
  std::string out;
  int calls = 0;
  for (const AnswerPart& part : all) {
    if (!out.empty()) out += ' ';
    if (part.kind == AnswerPart::Kind::kText) out += '"' + part.text + '"';
    if (part.kind == AnswerPart::Kind::kReasoning) out += '(' + part.text + ')';
    if (part.kind != AnswerPart::Kind::kCall) continue;
    out += part.name + part.text;
    EXPECT_EQ(part.call, calls++);
  }
  return out;
}

// The pieces between `cuts`, none of which falls into a code point.
std::vector<std::string> cut(const std::string& text, const std::vector<size_t>& cuts) {
  std::vector<std::string> pieces(1);
  for (size_t i = 0; i < text.size(); ++i) {
    const bool whole = (static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U;
    if (whole && std::find(cuts.begin(), cuts.end(), i) != cuts.end()) pieces.emplace_back();
    pieces.back() += text[i];
  }
  return pieces;
}

void expect_parts(const AnswerParserOptions& options, const std::string& text,
                  const std::string& expected) {
  ASSERT_EQ(parse(options, {text}), expected) << text;
  std::vector<size_t> every;
  for (size_t i = 1; i < text.size(); ++i) every.push_back(i);
  ASSERT_EQ(parse(options, cut(text, every)), expected) << text;
  for (const size_t at : every) ASSERT_EQ(parse(options, cut(text, {at})), expected) << text << at;
}

struct Case {
  std::string text;
  std::string parts;
};

TEST(AnswerParser, ReadsHermes) {
  const Case cases[] = {
      {"Hi.", R"("Hi.")"},
      {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, {\"b\": "
       "\"}\\\"\"}]}}\n</tool_call>",
       R"(f{"a": [1, {"b": "}\""}]})"},
      {"One moment.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>\n"
       "{\"name\":\"g\",\"arguments\":{\"é\":\"漢\"}}\n</tool_call>\n",
       R"("One moment." f{} g{"é":"漢"})"},
      {"<tool_call>{\"arguments\": {\"a\": 1}, \"id\": -2.5e3, \"name\": \"f\"}</tool_call> Bye",
       R"(f{"a": 1} " Bye")"},
      {"<tool_call>{\"name\": \"f\"}</tool_call>", "f{}"},
      {"<tool_call>{\"name\": \"f\", \"parameters\": null}</tool_call>", "f{}"},
      {R"(<tool_call>{"name": "\u0066", "arguments": "{\"a\": \"\\n\\u00e9\"}"}</tool_call>)",
       R"(f{"a": "\n\u00e9"})"},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"x\ny\tz\"}}</tool_call>",
       R"(f{"a":"x\ny\tz"})"},
      // What is missing at the end is not missed.
      {"<tool_call>{\"name\":\"f\",\"arguments\":{}}", "f{}"},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}</tool_call>x", R"(f{"a":1} "x")"},
      // A model may make up a tool: its caller says so.
      {"<tool_call>{\"name\":\"nobody\",\"arguments\":{}}</tool_call>", "nobody{}"},
  };
  for (const Case& c : cases) expect_parts(options_of("hermes"), c.text, c.parts);
}

TEST(AnswerParser, ReadsMistral) {
  const Case cases[] = {
      {R"([TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}])",
       R"(f{"a": 1} g{})"},
      {R"([TOOL_CALLS][{"name": "f", "arguments": {"a": 1}, "id": "D681PevKs"}])", R"(f{"a": 1})"},
      {R"(Sure.[TOOL_CALLS]f[ARGS]{"a": "]"}[TOOL_CALLS]g[CALL_ID]x1y2z3a4b[ARGS]{})",
       R"("Sure." f{"a": "]"} g{})"},
      {R"([TOOL_CALLS]get_weather {"a": 1})", R"(get_weather{"a": 1})"},
      {R"([TOOL_CALLS]{"name": "f", "arguments": {}})", "f{}"},
      {"[TOOL_CALLS]a b{}", R"("[TOOL_CALLS]a b{}")"},
      {"[TOOL_CALLS]f[X]{}", R"("[TOOL_CALLS]f[X]{}")"},
  };
  for (const Case& c : cases) expect_parts(options_of("mistral"), c.text, c.parts);
}

TEST(AnswerParser, ReadsLlama3Json) {
  const Case cases[] = {
      {R"({"name": "f", "parameters": {"a": "b"}})", R"(f{"a": "b"})"},
      {R"(  {"type": "function", "name": "f", "parameters": {}}; {"name": "g", "parameters": {}})",
       "f{} g{}"},
      {R"(<|python_tag|>{"name": "elsewhere", "parameters": {"q": 1}})", R"(elsewhere{"q": 1})"},
      // JSON is not a call because it looks like one.
      {R"({"name": "Ann", "parameters": {"age": 3}})",
       R"("{"name": "Ann", "parameters": {"age": 3}}")"},
      {R"(Take {"name": "f", "parameters": {}})", R"("Take {"name": "f", "parameters": {}}")"},
      {R"~(<|python_tag|>brave_search.call(query="x"))~",
       R"~("<|python_tag|>brave_search.call(query="x")")~"},
      {R"({"name": "f", "parameters": {}}; and more)", R"(f{} "; and more")"},
  };
  for (const Case& c : cases) expect_parts(options_of("llama3_json"), c.text, c.parts);
}

TEST(AnswerParser, ReadsPythonic) {
  const Case cases[] = {
      {"[get_weather(city='Köln', days=2), f()]", R"(get_weather{"city": "Köln", "days": 2} f{})"},
      {"[f(a=[1, -2.5, True,], b={'x': None, \"y\": {}}, c='it\\'s \"\\n\\x41',)]",
       R"(f{"a": [1, -2.5, true], "b": {"x": null, "y": {}}, "c": "it's \"\nA"})"},
      {"<|tool_call_start|>[made.up(x=false)]<|tool_call_end|>Done.",
       R"(made.up{"x": false} "Done.")"},
      {"<|python_start|>[f()]<|python_end|>", "f{}"},
      {"[nobody(a=1)]", R"("[nobody(a=1)]")"},
      {"[1, 2]", R"("[1, 2]")"},
      {"[f(1)]", R"("[f(1)]")"},
  };
  for (const Case& c : cases) expect_parts(options_of("pythonic"), c.text, c.parts);
}

// The rule: a call that has begun stays one; what cannot be part of its arguments is text.
TEST(AnswerParser, BrokenArgumentsEndTheCallAndTheRestIsText) {
  expect_parts(options_of("hermes"),
               R"(<tool_call>{"name": "f", "arguments": {"a": oops}}</tool_call>)",
               R"(f{"a":  "oops}}</tool_call>")");
  expect_parts(options_of("pythonic"), "[f(a=1, b=x)]", R"~(f{"a": 1, "b":  "x)]")~");
  expect_parts(options_of("pythonic"), "[f(a='x', b)]", R"~(f{"a": "x" ", b)]")~");
  expect_parts(options_of("hermes"), R"(<tool_call>{"name": "f", "arguments": {}, x}</tool_call>)",
               R"(f{} ", x}</tool_call>")");
  // An answer that is cut off is no mistake of the model's.
  expect_parts(options_of("pythonic"), "[f(a=1, b=12", R"(f{"a": 1, "b": )");
  expect_parts(options_of("hermes"), "<tool_call>{\"name\": \"f\", \"arguments\": {}\n", "f{}");
}

TEST(AnswerParser, WhatIsNoCallStaysTextDownToTheByte) {
  const std::string texts[] = {
      "<tool_call>",
      "a <tool_cal b",
      "<tool_call>\n{\"name\": 5}\n</tool_call>",
      "<tool_call>{\"name\": \"\", \"arguments\": {}}",
      "<tool_call>{\"arguments\": {\"a\": 1}}</tool_call>",
      "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
      "<tool_call>{\"name\": \"f\", \"arg",
      "</tool_call>\n<<tool_cal",
      "[TOOL_CALLS] [1]",
      "[TOOL_CALLS][",
      "[f(",
      "[f(a",
      "{\"name\": \"f\", \"par",
      "{\"name\": {\"name\": \"f\", \"parameters\": {}}}",
      "  white space at both ends \n",
      std::string(1000, '\n'),
      "<tool_call>" + std::string(2 * CallParser::kMaxHeldBytes, ' ') + "x",
  };
  for (const std::string& text : texts) {
    for (const char* syntax : kAll) {
      if (text.size() < 100) expect_parts(options_of(syntax), text, '"' + text + '"');
      EXPECT_EQ(parse(options_of(syntax), {text}), '"' + text + '"') << syntax;
    }
  }
}

TEST(AnswerParser, AnUnfinishedMarkerDoesNotHideTheNext) {
  expect_parts(options_of("hermes"),
               R"(<tool_call><<tool_call>{"name":"f","arguments":{}}</tool_call>)",
               R"("<tool_call><" f{})");
  expect_parts(options_of("hermes"), R"(<tool_call>{<tool_call>{"name":"f","arguments":{}}x)",
               R"("<tool_call>{" f{} "x")");
}

TEST(AnswerParser, StopsBehindTheFirstCallWhereOnlyOneIsAllowed) {
  AnswerParserOptions options = options_of("hermes");
  options.parallel_calls = false;
  const std::string call = R"(<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>)";
  expect_parts(options, "x" + call + call + "y", R"("x" f{"a":1})");
  AnswerParser parser(options);
  AnswerParts parts;
  parser.push(call.substr(0, call.find("}}") + 1), parts);
  EXPECT_TRUE(parser.any_calls());
  EXPECT_FALSE(parser.done());
  parser.push("}", parts);
  EXPECT_TRUE(parser.done());
}

TEST(AnswerParser, ArgumentsComeAsTheyAreWritten) {
  AnswerParser parser(options_of("hermes"));
  AnswerParts parts;
  parser.push(R"(<tool_call>{"name": "f", "arguments": {"city": "Par)", parts);
  std::vector<AnswerPart> first = parts.take();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].name, "f");
  EXPECT_EQ(first[0].text, R"({"city": "Par)");
  parser.push("is", parts);
  first = parts.take();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].name, "");
  EXPECT_EQ(first[0].text, "is");
}

TEST(AnswerParser, SplitsReasoning) {
  const AnswerParserOptions qwen = options_of("", "qwen3");
  expect_parts(qwen, "<think>\nHm,\n 2.\n</think>\n\nTwo. <think>", R"((Hm,
 2.) "Two. <think>")");
  expect_parts(qwen, " \n<think></think>x", R"("x")");
  expect_parts(qwen, "<think>a</thi</think>", "(a</thi)");
  expect_parts(qwen, "<think>a</thi ", "(a</thi )");
  expect_parts(qwen, " no <think>a</think>", R"(" no <think>a</think>")");
  expect_parts(qwen, "<thi", R"("<thi")");
  AnswerParserOptions opened = qwen;
  opened.reasoning_opened = true;
  expect_parts(opened, "Hm.\n</think>x", R"((Hm.) "x")");
  expect_parts(opened, "\n<think>Hm.</think>x", R"((Hm.) "x")");
  expect_parts(opened, "<thi", "(<thi)");
  expect_parts(options_of("", "deepseek_r1"), "Hm.</think>x", R"((Hm.) "x")");
  expect_parts(options_of("", "mistral"), "[THINK]a[/THINK]b", R"((a) "b")");
  expect_parts(options_of("", "granite"),
               "Here is my thought process: a Here b.\n\nHere is my response: c",
               R"((a Here b.) "c")");
}

TEST(AnswerParser, ReadsCallsBehindReasoning) {
  expect_parts(options_of("hermes", "qwen3"),
               "<think>Use f: <tool_call>.</think>\n\n<tool_call>\n{\"name\": \"f\", "
               "\"arguments\": {}}\n</tool_call>",
               "(Use f: <tool_call>.) f{}");
}

// Random texts of the pieces that parsers look for: any cut gives the same parts, all bytes of what
// is no call are there, and arguments of calls whose end has come are JSON objects.
TEST(AnswerParser, NoCutMatters) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> pieces = {"<tool_call>",
                                           "</tool_call>",
                                           "[TOOL_CALLS]",
                                           "<|python_tag|>",
                                           "<|tool_call_start|>",
                                           "<|tool_call_end|>",
                                           "<think>",
                                           "</think>",
                                           "[",
                                           "]",
                                           "{",
                                           "}",
                                           "(",
                                           ")",
                                           "\"",
                                           "'",
                                           "\\",
                                           ",",
                                           ";",
                                           ":",
                                           "=",
                                           " ",
                                           "\n",
                                           "f",
                                           "g(a=",
                                           "1",
                                           "-",
                                           ".5",
                                           "e3",
                                           "true",
                                           "None",
                                           "é",
                                           "\\u00",
                                           "\\ud83d",
                                           "\\ude00",
                                           "[ARGS]",
                                           "\"name\"",
                                           "\"arguments\"",
                                           "{\"name\": \"f\", ",
                                           "\"arguments\": {",
                                           "\"a\": ",
                                           "\"parameters\": "};
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    const size_t length = random() % 24;
    for (size_t i = 0; i < length; ++i) text += pieces[random() % pieces.size()];
    AnswerParserOptions options = options_of(kAll[random() % 4], random() % 2 == 0 ? "qwen3" : "");
    options.reasoning_opened = random() % 4 == 0;
    options.parallel_calls = random() % 4 != 0;
    std::vector<size_t> cuts;
    for (size_t i = 1; i < text.size(); ++i) {
      if (random() % 3 == 0) cuts.push_back(i);
    }
    ASSERT_EQ(parse(options, {text}), parse(options, cut(text, cuts))) << text;
  }
}

TEST(AnswerSyntax, IsReadFromTheTemplate) {
  const auto name = [](std::string_view source) -> std::string_view {
    const CallSyntax* syntax = call_syntax_of(source);
    return syntax == nullptr ? "none" : syntax->name;
  };
  EXPECT_EQ(name(R"(within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": ...})"),
            "hermes");
  EXPECT_EQ(name("<tool_call>\n<function=example>\n<parameter=x>"), "none");
  EXPECT_EQ(name(R"({{- "[TOOL_CALLS] [" }})"), "mistral");
  EXPECT_EQ(name(R"({{- "<|python_tag|>" + tool_call.name }})"), "llama3_json");
  EXPECT_EQ(name(R"(in the format {"name": function name, "parameters": dictionary of})"),
            "llama3_json");
  EXPECT_EQ(name("[func_name1(params_name1=params_value1), func_name2(params)]"), "pythonic");
  EXPECT_EQ(name("{{ messages }}"), "none");
  EXPECT_EQ(reasoning_syntax_of("content.split('</think>')[-1]")->name, "qwen3");
  EXPECT_EQ(reasoning_syntax_of("{{ messages }}"), nullptr);
}

TEST(AnswerSyntax, APromptMayOpenTheReasoning) {
  const ReasoningSyntax& syntax = *find_reasoning_syntax("qwen3");
  EXPECT_TRUE(leaves_open(syntax, "<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(leaves_open(syntax, "<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(leaves_open(syntax, "<|im_start|>assistant\n"));
}

}  // namespace
}  // namespace sluice
