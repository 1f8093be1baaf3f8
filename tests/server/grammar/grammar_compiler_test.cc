// GrammarCompiler: one compilation for all who ask, results kept, bounds held.
#include "server/grammar/grammar_compiler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

namespace sluice {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<TokenGrammars> make_grammars() {
  const std::unique_ptr<Tokenizer> tokenizer =
      load_sentencepiece(SLUICE_SOURCE_DIR "/models/sluice-tiny/tokenizer.model").value();
  return std::make_unique<TokenGrammars>(*tokenizer, tokenizer->vocab_size(), size_t{8} << 20);
}

GrammarSpec regex(const std::string& text) {
  return {.kind = GrammarSpec::Kind::kRegex, .text = text, .field = "the_field"};
}

TEST(GrammarCompiler, CallsForOneFormGetOneGrammar) {
  GrammarCompiler compiler(make_grammars, {.time_limit = milliseconds(60'000)});
  std::vector<std::future<std::shared_ptr<const Grammar>>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(
        std::async(std::launch::async, [&] { return compiler.get(regex("[a-z]{1,50}")).value(); }));
  }
  const std::shared_ptr<const Grammar> first = calls[0].get();
  for (size_t i = 1; i < calls.size(); ++i) EXPECT_EQ(calls[i].get(), first);
  EXPECT_EQ(compiler.get(regex("[a-z]{1,50}")).value(), first);
  EXPECT_NE(compiler.get(regex("[a-z]{1,51}")).value(), first);
}

TEST(GrammarCompiler, WhatIsWrongIsRefusedEachTime) {
  GrammarCompiler compiler(make_grammars, {.time_limit = milliseconds(60'000)});
  for (int i = 0; i < 2; ++i) {
    const auto result = compiler.get(regex("a(?=b)"));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(result.status().field(), "the_field");
  }
  EXPECT_FALSE(
      compiler.get({.kind = GrammarSpec::Kind::kJsonSchema, .text = R"({"not":{}})"}).ok());
}

TEST(GrammarCompiler, AGrammarThatIsTooLargeIsRefused) {
  GrammarCompiler compiler(make_grammars,
                           {.time_limit = milliseconds(60'000), .max_grammar_bytes = 100});
  const auto result = compiler.get(regex("[a-z]{1,50}"));
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("bytes of memory"), std::string::npos);
}

TEST(GrammarCompiler, ACacheWithoutRoomKeepsNothing) {
  GrammarCompiler compiler(make_grammars, {.time_limit = milliseconds(60'000), .cache_bytes = 0});
  const auto first = compiler.get(regex("[a-z]+")).value();
  EXPECT_NE(compiler.get(regex("[a-z]+")).value(), first);
}

// A pool whose only thread is held in its first compilation.
TEST(GrammarCompiler, CallsThatWaitAreBoundedInTimeAndNumber) {
  auto gate = std::make_shared<std::promise<void>>();
  const std::shared_future<void> open = gate->get_future().share();
  const auto make = [open] {
    open.wait();
    return make_grammars();
  };
  GrammarCompiler compiler(make, {.threads = 1, .max_waiting = 2, .time_limit = milliseconds(20)});
  auto started = compiler.get(regex("a"));
  while (!started.ok() && started.status().code() == StatusCode::kResourceExhausted)
    started = compiler.get(regex("a"));  // the thread has not come to it yet
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.status().message().find("longer than 20 ms"), std::string::npos);
  const auto queued = compiler.get(regex("b"));
  ASSERT_FALSE(queued.ok());
  EXPECT_EQ(queued.status().code(), StatusCode::kResourceExhausted);
  const auto refused = compiler.get(regex("c"));  // two are under way already
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("2 requests wait"), std::string::npos);
  gate->set_value();
  // What was abandoned is finished for a later caller.
  while (!compiler.get(regex("a")).ok()) std::this_thread::yield();
}

}  // namespace
}  // namespace sluice
