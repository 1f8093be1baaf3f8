#include "server/local_service.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "tests/fakes/hash_runner.h"
#include "tests/fakes/scripted_runner.h"
#include "tests/server/service_fixture.h"

namespace sluice {
namespace {

std::unique_ptr<ModelRunner> scripted(std::vector<std::vector<TokenId>> scripts) {
  return std::make_unique<ScriptedRunner>(std::move(scripts));
}

// Text of a script, and the end of the sequence.
std::vector<TokenId> says(std::string_view text) {
  std::vector<TokenId> ids = byte_ids(text);
  ids.push_back(kEos);
  return ids;
}

GenerateCall completion(std::string prompt) {
  GenerateCall call;
  call.prompt = std::move(prompt);
  return call;
}

GenerateCall chat(std::vector<ChatMessage> messages) {
  GenerateCall call;
  call.prompt = std::move(messages);
  return call;
}

std::vector<ChoiceText> finish(ServiceUnderTest& service, Generation& generation, int n = 1) {
  std::vector<ChoiceText> choices(static_cast<size_t>(n));
  do {
    for (const TextDelta& delta : generation.next()) {
      choices.at(static_cast<size_t>(delta.choice)).add(delta);
    }
  } while (service.engine().step());
  for (const TextDelta& delta : generation.next()) {
    choices.at(static_cast<size_t>(delta.choice)).add(delta);
  }
  EXPECT_TRUE(generation.finished());
  return choices;
}

void expect_refusal(const Result<std::unique_ptr<Generation>>& result, StatusCode code,
                    const std::string& field, const std::string& words) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  EXPECT_EQ(result.status().field(), field) << result.status().message();
  EXPECT_NE(result.status().message().find(words), std::string::npos) << result.status().message();
}

TEST(LocalService, AnswersInTextAndCountsWhatWasUsed) {
  ServiceUnderTest service(scripted({says("h\xC3\xA9llo")}));
  service.open();
  auto generation = service->generate(completion("ab")).value();
  EXPECT_EQ(generation->prompt_tokens(), (std::vector<TokenId>{kBos, 'a', 'b'}));
  const ChoiceText choice = finish(service, *generation)[0];
  EXPECT_EQ(choice.text, "h\xC3\xA9llo");
  EXPECT_EQ(choice.finish, FinishReason::kStop);
  EXPECT_EQ(choice.stop_id, kEos);
  EXPECT_EQ(generation->usage().prompt_tokens, 3);
  EXPECT_EQ(generation->usage().completion_tokens, 7);
}

TEST(LocalService, AnswersInTheFormThatACallAsksFor) {
  ServiceUnderTest service(scripted({says(" no"), says(" yesyes")}));
  service.open();
  GenerateCall call = completion("ab");
  call.grammar = {.kind = GrammarSpec::Kind::kChoice, .choices = {" yes", " no \xC3\xA9"}};
  call.sampling.n = 2;
  auto generation = service->generate(call).value();
  for (const ChoiceText& choice : finish(service, *generation, 2)) {
    EXPECT_TRUE(choice.text == " yes" || choice.text == " no \xC3\xA9") << choice.text;
    EXPECT_EQ(choice.finish, FinishReason::kStop);
    EXPECT_EQ(choice.stop_id, std::nullopt);
  }
  call.grammar = {.kind = GrammarSpec::Kind::kRegex, .text = "a(", .field = "regex"};
  expect_refusal(service->generate(call), StatusCode::kInvalidArgument, "regex", "expression");
  call.grammar = {.kind = GrammarSpec::Kind::kJsonSchema, .text = R"({"not":{}})"};
  expect_refusal(service->generate(call), StatusCode::kInvalidArgument, "response_format", "not");
}

TEST(LocalService, AChatIsTemplatedAndItsUsersCannotSpellControlTokens) {
  ServiceUnderTest service(scripted({says("ok")}));
  service.open();
  const auto ids = service->tokenize(chat({{"user", "a<|im_end|>", ""}}));
  ASSERT_TRUE(ids.ok()) << ids.status().message();
  std::vector<TokenId> expected = {kBos, kStart};
  for (const TokenId id : byte_ids("user\na<|im_end|>")) expected.push_back(id);
  expected.insert(expected.end(), {kEnd, '\n', kStart});
  EXPECT_EQ(ids.value(), expected);
  expect_refusal(service->generate(chat({{"tool", "x", ""}})), StatusCode::kInvalidArgument,
                 "messages", "no tools");
}

TEST(LocalService, AStopStringEndsTheTextTheUsageAndTheEnginesWork) {
  ServiceUnderTest service(scripted({byte_ids("abc STOP and much more"), byte_ids("xyz")}));
  service.open();
  GenerateCall call = completion("p");
  call.stop = {"STOP"};
  call.sampling.n = 2;
  call.sampling.max_tokens = 12;
  call.max_tokens_given = true;
  auto generation = service->generate(std::move(call)).value();
  const std::vector<ChoiceText> choices = finish(service, *generation, 2);
  EXPECT_EQ(choices[0].text, "abc ");
  EXPECT_EQ(choices[0].finish, FinishReason::kStop);
  EXPECT_EQ(choices[0].stop_reason, "STOP");
  EXPECT_EQ(choices[1].text, "xyzzzzzzzzzz");
  EXPECT_EQ(choices[1].finish, FinishReason::kLength);
  EXPECT_EQ(generation->usage().completion_tokens, 8 + 12);
  // Choice 0 was read after each step: at most the token in flight was computed in vain.
  EXPECT_LE(service.engine().stats().generation_tokens, 8 + 12 + 2);
  EXPECT_EQ(service.engine().stats().kv.blocks_held, 0);
}

TEST(LocalService, ReadingLateGivesTheSameTextAsReadingAtOnce) {
  ServiceUnderTest service(scripted({says("one two STOP three")}));
  service.open();
  GenerateCall call = completion("p");
  call.stop = {"STOP"};
  auto generation = service->generate(std::move(call)).value();
  service.run();
  const std::vector<TextDelta> deltas = generation->next();
  ASSERT_EQ(deltas.size(), 1U);
  EXPECT_EQ(deltas[0].text, "one two ");
  EXPECT_EQ(deltas[0].stop_reason, "STOP");
  EXPECT_EQ(generation->usage().completion_tokens, 12);
  EXPECT_TRUE(generation->finished());
}

TEST(LocalService, LogprobsOfTheOutputAndOfThePrompt) {
  ServiceUnderTest service(scripted({says("z")}));
  service.open();
  GenerateCall call = completion("ab");
  call.sampling.logprobs = true;
  call.sampling.num_top_logprobs = 2;
  call.sampling.prompt_logprobs = true;
  auto generation = service->generate(std::move(call)).value();
  const ChoiceText choice = finish(service, *generation)[0];
  ASSERT_EQ(choice.logprobs.size(), 2U);
  EXPECT_EQ(choice.logprobs[0].text, "z");
  EXPECT_EQ(choice.logprobs[0].logprob, ScriptedRunner::kLogprob);
  EXPECT_EQ(choice.logprobs[1].text, "</s>");
  const auto& prompt = generation->prompt_logprobs();
  ASSERT_EQ(prompt.size(), 3U);
  EXPECT_FALSE(prompt[0]);
  EXPECT_EQ(prompt[1]->text, "a");
  EXPECT_EQ(prompt[2]->text, "b");
}

TEST(LocalService, RefusesTextThatIsNoUtf8WithItsOffset) {
  ServiceUnderTest service(scripted({says("x")}));
  service.open();
  expect_refusal(service->generate(completion("abc\xFF")), StatusCode::kInvalidArgument, "prompt",
                 "byte 3");
  expect_refusal(service->generate(chat({{"user", "ok", ""}, {"user", "\xC3", ""}})),
                 StatusCode::kInvalidArgument, "messages[1].content", "byte 0");
  GenerateCall call = completion("a");
  call.stop = {"\x80"};
  expect_refusal(service->generate(std::move(call)), StatusCode::kInvalidArgument, "stop",
                 "byte 0");
}

TEST(LocalService, RefusesWhatIsPastALimitWithTheLimit) {
  ServiceLimits limits;
  limits.max_prompt_bytes = 10;
  limits.max_messages = 2;
  limits.max_output_tokens = 100;
  ServiceUnderTest service(scripted({says("x")}), limits);
  service.open();
  const auto refused = [&](GenerateCall call, const char* field, const char* words) {
    expect_refusal(service->generate(std::move(call)), StatusCode::kInvalidArgument, field, words);
  };
  refused(completion("0123456789a"), "prompt", "11 bytes; the limit is 10");
  refused(chat({{"user", "0123456", ""}}), "messages", "11 bytes; the limit is 10");
  refused(chat({{"a", "", ""}, {"a", "", ""}, {"a", "", ""}}), "messages", "the limit is 2");
  refused(chat({}), "messages", "at least one");

  GenerateCall call = completion("a");
  call.stop = std::vector<std::string>(17, "x");
  refused(call, "stop", "17 strings; the limit is 16");
  call.stop = {""};
  refused(call, "stop", "empty");
  call.stop = {std::string(257, 'x')};
  refused(call, "stop", "257 bytes; the limit is 256");

  call = completion("a");
  call.sampling.n = 4;
  call.sampling.max_tokens = 30;
  call.max_tokens_given = true;
  refused(call, "max_tokens", "at most 100");
  call.sampling.n = 100'000;
  refused(call, "max_tokens", "n is 100000");
  call.sampling.n = 0;
  refused(call, "n", "n is 0");

  call = completion("");
  call.prompt = std::vector<TokenId>{1, kByteVocab + 4};
  refused(call, "prompt", "prompt[1]");
  call.prompt = std::vector<TokenId>{};
  refused(call, "prompt", "at least one");
  EXPECT_EQ(service.engine().stats().num_waiting, 0);
}

TEST(LocalService, RefusesWhatIsLongerThanTheModel) {
  ServiceUnderTest service(scripted({says("x")}));
  service.open();
  expect_refusal(service->generate(completion(std::string(255, 'a'))), StatusCode::kTooLong,
                 "prompt", "maximum context length is 256 tokens. However, the prompt resulted");
  // 12 bytes a token at most: known before it is tokenised.
  expect_refusal(service->generate(completion(std::string(12 * 257, 'a'))), StatusCode::kTooLong,
                 "prompt", "at least 257 tokens");
  GenerateCall call = chat({{"user", std::string(100, 'a'), ""}});
  call.sampling.max_tokens = 200;
  call.max_tokens_given = true;
  expect_refusal(service->generate(std::move(call)), StatusCode::kTooLong, "messages",
                 "at most 146 tokens");
}

TEST(LocalService, WithoutMaxTokensTheAnswerMayFillTheModel) {
  ServiceUnderTest service(scripted({byte_ids("a")}));
  service.open();
  auto generation = service->generate(completion(std::string(250, 'p'))).value();
  const ChoiceText choice = finish(service, *generation)[0];
  EXPECT_EQ(choice.text, "aaaaa");
  EXPECT_EQ(choice.finish, FinishReason::kLength);
}

TEST(LocalService, AddsNoBosWhereNoneIsWanted) {
  ServiceUnderTest service(scripted({says("x")}));
  service.open();
  GenerateCall call = completion("a");
  call.add_special_tokens = false;
  EXPECT_EQ(service->tokenize(call).value(), (std::vector<TokenId>{'a'}));
}

TEST(LocalService, DetokenizeShowsControlTokensAndRefusesStrangeIds) {
  ServiceUnderTest service(scripted({says("x")}));
  service.open();
  EXPECT_EQ(service->detokenize({kStart, 'a', kByteVocab}).value(), "<|im_start|>a");
  EXPECT_EQ(service->detokenize({-1}).status().field(), "tokens");
  EXPECT_EQ(service->token_spelling(kEos), "</s>");
  EXPECT_EQ(service->token_spelling(kByteVocab), "");
}

TEST(LocalService, TakesTheModelsSamplingDefaultsButNotItsLengths) {
  ServiceUnderTest service(scripted({says("x")}));
  ServedModel model = service.served();
  model.defaults.do_sample = false;
  model.defaults.temperature = 0.6F;
  model.defaults.top_k = 20;
  model.defaults.max_new_tokens = 3;
  service->open(std::move(model));
  const SamplingParams sampling = service->default_sampling();
  EXPECT_EQ(sampling.temperature, 0.6F);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.top_p, SamplingParams().top_p);
  EXPECT_EQ(sampling.max_tokens, SamplingParams().max_tokens);
}

TEST(LocalService, SaysWhenItCannotServe) {
  ServiceUnderTest service(scripted({byte_ids("x")}));
  EXPECT_EQ(service->readiness(), Readiness::kLoading);
  EXPECT_EQ(service->model().names.front(), "tiny");
  expect_refusal(service->generate(completion("a")), StatusCode::kUnavailable, "", "loaded");
  EXPECT_FALSE(service->tokenize(completion("a")).ok());

  service.open();
  EXPECT_EQ(service->readiness(), Readiness::kReady);
  EXPECT_EQ(service->model().max_model_len, 256);
  auto generation = service->generate(completion("a")).value();
  service.engine().step();
  service.advance(std::chrono::seconds(31));
  EXPECT_EQ(service->readiness(), Readiness::kStalled);
  service.engine().step();
  EXPECT_EQ(service->readiness(), Readiness::kReady);

  service->drain();
  EXPECT_EQ(service->readiness(), Readiness::kDraining);
  expect_refusal(service->generate(completion("a")), StatusCode::kUnavailable, "", "shutting");
  EXPECT_FALSE(finish(service, *generation)[0].text.empty());
}

TEST(LocalService, DroppingAGenerationCancelsItAndItsNotifier) {
  ServiceUnderTest service(scripted({byte_ids("x")}));
  service.open();
  int woken = 0;
  {
    auto generation = service->generate(completion("a")).value();
    generation->set_notifier([&] { ++woken; });
    service.engine().step();
    EXPECT_GT(woken, 0);
  }
  woken = 0;
  service.run();
  EXPECT_EQ(woken, 0);
  EXPECT_EQ(service.engine().stats().requests_cancelled, 1);
  EXPECT_EQ(service.engine().stats().kv.blocks_held, 0);
}

TEST(LocalService, ARequestThatTakesTooLongEndsWithItsDeadline) {
  ServiceUnderTest service(scripted({says("long")}), {}, std::chrono::milliseconds(1));
  service.open();
  auto generation = service->generate(completion("a")).value();
  while (generation->usage().completion_tokens == 0) {
    service.engine().step();
    generation->next();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  service->end_overdue();
  service.run();
  const std::vector<TextDelta> last = generation->next();
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].finish, FinishReason::kError);
  EXPECT_EQ(last[0].error.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(generation->finished());
}

TEST(LocalService, ADeadlineEndsNobodyBefore) {
  ServiceUnderTest service(scripted({says("long")}), {}, std::chrono::hours(1));
  service.open();
  auto generation = service->generate(completion("a")).value();
  service->end_overdue();
  service.run();
  EXPECT_EQ(generation->next().back().finish, FinishReason::kStop);
}

TEST(LocalService, AClientsIdMayComeTwice) {
  ServiceUnderTest service(scripted({says("x")}));
  service.open();
  GenerateCall call = completion("a");
  call.request_id = "mine";
  auto first = service->generate(call).value();
  auto second = service->generate(call).value();
  EXPECT_EQ(second->id(), "mine");
  first.reset();
  EXPECT_EQ(finish(service, *second)[0].text, "x");
}

// Readers on their own threads, some of whom leave: everybody else gets the whole text, and
// nothing stays behind.
TEST(LocalService, ManyReadersAndRandomCancelsLeaveNothingBehind) {
  HashRunner::Options options;
  options.num_blocks = small_engine_config().num_blocks;
  options.vocab_size = 256;
  ServiceUnderTest service(std::make_unique<HashRunner>(options));
  service.open();
  service.engine().start();
  const unsigned seed = 99;
  std::vector<std::thread> readers;
  for (unsigned reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937 random(seed + reader);
      for (int round = 0; round < 25; ++round) {
        GenerateCall call = completion(std::string(1 + random() % 100, 'p'));
        call.sampling.temperature = 0;
        call.sampling.max_tokens = 20;
        call.max_tokens_given = true;
        auto generation = service->generate(std::move(call)).value();
        const bool leaves = random() % 3 == 0;
        while (!generation->finished()) {
          generation->wait(std::chrono::seconds(10));
          if (leaves) break;
        }
        if (!leaves) {
          EXPECT_EQ(generation->usage().completion_tokens, 20) << "seed " << seed + reader;
        }
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  service.engine().stop(Engine::Stop::kDrain);
  EXPECT_EQ(service.engine().stats().kv.blocks_held, 0);
  EXPECT_EQ(service.engine().stats().num_running, 0);
}

}  // namespace
}  // namespace sluice
