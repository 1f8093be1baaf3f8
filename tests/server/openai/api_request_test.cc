// Requests: what is read, what is refused and in which words.
#include "server/openai/api_request.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

constexpr int kMaxPrompts = 4;

struct BadInput {
  const char* text;   // members of a request that is right otherwise
  const char* field;  // the error's param
  const char* says;   // part of its message
};

// `start`, further members if there are some, and the end of the object.
std::string body_of(std::string_view start, std::string_view members) {
  std::string out(start);
  if (!members.empty()) out.append(",").append(members);
  return out.append("}");
}

std::string chat_body(std::string_view members) {
  return body_of(R"({"messages":[{"role":"user","content":"hi"}])", members);
}

std::string text_body(std::string_view members) { return body_of(R"({"prompt":"hi")", members); }

void expect_refused(const Status& status, const BadInput& bad, StatusCode code) {
  ASSERT_FALSE(status.ok()) << bad.text;
  EXPECT_EQ(status.code(), code) << bad.text << ": " << status.message();
  EXPECT_EQ(status.field(), bad.field) << bad.text;
  EXPECT_NE(status.message().find(bad.says), std::string::npos)
      << bad.text << ": " << status.message();
}

Result<ApiRequest> chat(std::string_view members) {
  return parse_chat_request(chat_body(members), {});
}

Result<ApiRequest> completion(std::string_view members) {
  return parse_completion_request(text_body(members), {}, kMaxPrompts);
}

// Wrong in both endpoints.
constexpr BadInput kWrongEverywhere[] = {
    {R"("model":5)", "model", "model: expected a string, got the number 5"},
    {R"("model":["tiny"])", "model", "expected a string, got an array"},
    {R"("temperature":"hot")", "temperature", "expected a number, got the string \"hot\""},
    {R"("temperature":true)", "temperature", "expected a number, got true"},
    {R"("temperature":[1])", "temperature", "expected a number, got an array"},
    {R"("temperature":1e300)", "temperature", "within float32"},
    {R"("top_p":"0.5")", "top_p", "expected a number"},
    {R"("top_p":{})", "top_p", "got an object"},
    {R"("presence_penalty":"no")", "presence_penalty", "expected a number"},
    {R"("frequency_penalty":false)", "frequency_penalty", "expected a number, got false"},
    {R"("repetition_penalty":"")", "repetition_penalty", "expected a number, got the string \"\""},
    {R"("min_p":[])", "min_p", "expected a number"},
    {R"("n":1.5)", "n", "expected an integer, got the number 1.5"},
    {R"("n":"2")", "n", "expected an integer, got the string \"2\""},
    {R"("n":true)", "n", "expected an integer, got true"},
    {R"("n":3000000000)", "n", "an integer of 32 bits"},
    {R"("max_tokens":"all")", "max_tokens", "expected an integer"},
    {R"("max_tokens":1.25)", "max_tokens", "expected an integer"},
    {R"("max_tokens":1e17)", "max_tokens", "expected an integer"},
    {R"("min_tokens":"1")", "min_tokens", "expected an integer"},
    {R"("top_k":0.5)", "top_k", "expected an integer"},
    {R"("top_k":-3000000000)", "top_k", "an integer of 32 bits"},
    {R"("seed":"lucky")", "seed", "expected an integer"},
    {R"("seed":0.1)", "seed", "expected an integer"},
    {R"("stop":5)", "stop", "expected a string or an array of strings, got the number 5"},
    {R"("stop":["a",1])", "stop[1]", "expected a string, got the number 1"},
    {R"("stop":{"a":1})", "stop", "got an object"},
    {R"("stop":[null])", "stop[0]", "expected a string, got null"},
    {R"("logit_bias":[1])", "logit_bias", "an object of token ids and biases, got an array"},
    {R"("logit_bias":{"x":1})", "logit_bias", "the string \"x\" is no token id"},
    {R"("logit_bias":{"-1":1})", "logit_bias", "is no token id"},
    {R"("logit_bias":{"1.5":1})", "logit_bias", "is no token id"},
    {R"("logit_bias":{"":1})", "logit_bias", "is no token id"},
    {R"("logit_bias":{"99999999999":1})", "logit_bias", "is no token id"},
    {R"("logit_bias":{"7":"up"})", "logit_bias.7", "expected a number, got the string \"up\""},
    {R"("logit_bias":{"7":null})", "logit_bias.7", "expected a number, got null"},
    {R"("stream":"yes")", "stream", "expected true or false, got the string \"yes\""},
    {R"("stream":1)", "stream", "expected true or false, got the number 1"},
    {R"("stream_options":{"include_usage":true})", "stream_options", "needs \"stream\": true"},
    {R"("stream":true,"stream_options":true)", "stream_options", "expected an object"},
    {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage",
     "expected true or false"},
    {R"("stream":true,"stream_options":{"continuous_usage_stats":"y"})",
     "stream_options.continuous_usage_stats", "expected true or false"},
    {R"("ignore_eos":"true")", "ignore_eos", "expected true or false"},
    {R"("skip_special_tokens":0)", "skip_special_tokens", "expected true or false"},
    {R"("include_stop_str_in_output":[])", "include_stop_str_in_output", "expected true or false"},
    {R"("stop_token_ids":5)", "stop_token_ids", "expected an array of token ids"},
    {R"("stop_token_ids":["5"])", "stop_token_ids[0]", "expected a token id, got the string \"5\""},
    {R"("stop_token_ids":[1,-2])", "stop_token_ids[1]", "expected a token id, got the number -2"},
    {R"("allowed_token_ids":[1.5])", "allowed_token_ids[0]", "expected a token id"},
    {R"("banned_token_ids":[4294967296])", "banned_token_ids[0]", "expected a token id"},
    {R"("prompt_logprobs":true)", "prompt_logprobs", "expected an integer, got true"},
    {R"("prompt_logprobs":21)", "prompt_logprobs", "21 is out of range; 0 ... 20"},
    {R"("prompt_logprobs":-1)", "prompt_logprobs", "out of range"},
    {R"("prompt_logprobs":1,"stream":true)", "prompt_logprobs", "not available with"},
    {R"("priority":"high")", "priority", "expected an integer"},
    {R"("cache_salt":5)", "cache_salt", "expected a string"},
    {R"("attention":5)", "attention", "expected the name of a mode"},
    {R"("attention":{"parameters":1})", "attention", "expected the name of a mode"},
    {R"("kv_cache":[])", "kv_cache", "expected the name of a mode"},
    {R"("response_format":"json")", "response_format", "an object with a \"type\""},
    {R"("response_format":{"type":1})", "response_format", "an object with a \"type\""},
};

// Understood, and not supported: refused, because leaving them out would change the answer.
constexpr BadInput kUnsupportedEverywhere[] = {
    {R"("best_of":3)", "best_of", "3 is not supported"},
    {R"("n":2,"best_of":1)", "best_of", "only n, here 2"},
    {R"("attention":"squeezed")", "attention", "only \"dense\" is"},
    {R"("attention":{"mode":"moa"})", "attention", "\"moa\" is not supported"},
    {R"("kv_cache":"minicache")", "kv_cache", "only \"exact\" is"},
    {R"("bad_words":["x"])", "bad_words", "not supported by this server; leave it out"},
    {R"("logits_processors":[{}])", "logits_processors", "not supported"},
    {R"("use_beam_search":true)", "use_beam_search", "not supported"},
    {R"("truncate_prompt_tokens":10)", "truncate_prompt_tokens", "not supported"},
    {R"("return_token_ids":true)", "return_token_ids", "not supported"},
};

constexpr BadInput kUnsupportedInChat[] = {
    {R"("functions":[{}])", "functions", "not supported"},
    {R"("audio":{"voice":"x"})", "audio", "not supported"},
    {R"("modalities":["text","audio"])", "modalities", "only [\"text\"]"},
    {R"("echo":true)", "echo", "not supported"},
    {R"("chat_template":"{{x}}")", "chat_template", "not supported"},
    {R"("reasoning_effort":"high")", "reasoning_effort", "not supported"},
};

constexpr BadInput kWrongInChat[] = {
    {R"("logprobs":5)", "logprobs", "expected true or false, got the number 5"},
    {R"("logprobs":true,"top_logprobs":21)", "top_logprobs", "21 is out of range"},
    {R"("top_logprobs":2)", "top_logprobs", "needs \"logprobs\": true"},
    {R"("max_completion_tokens":"x")", "max_completion_tokens", "expected an integer"},
    {R"("add_generation_prompt":"x")", "add_generation_prompt", "expected true or false"},
};

constexpr BadInput kWrongInCompletion[] = {
    {R"("logprobs":true)", "logprobs", "expected an integer, got true"},
    {R"("logprobs":-1)", "logprobs", "-1 is out of range"},
    {R"("echo":"yes")", "echo", "expected true or false"},
    {R"("add_special_tokens":3)", "add_special_tokens", "expected true or false"},
};

TEST(ApiRequest, RefusesWrongKindsInBothEndpoints) {
  for (const BadInput& bad : kWrongEverywhere) {
    expect_refused(chat(bad.text).status(), bad, StatusCode::kInvalidArgument);
    expect_refused(completion(bad.text).status(), bad, StatusCode::kInvalidArgument);
  }
  for (const BadInput& bad : kWrongInChat) {
    expect_refused(chat(bad.text).status(), bad, StatusCode::kInvalidArgument);
  }
  for (const BadInput& bad : kWrongInCompletion) {
    expect_refused(completion(bad.text).status(), bad, StatusCode::kInvalidArgument);
  }
}

TEST(ApiRequest, RefusesWhatItWouldHaveToIgnore) {
  for (const BadInput& bad : kUnsupportedEverywhere) {
    expect_refused(chat(bad.text).status(), bad, StatusCode::kUnimplemented);
    expect_refused(completion(bad.text).status(), bad, StatusCode::kUnimplemented);
  }
  for (const BadInput& bad : kUnsupportedInChat) {
    expect_refused(chat(bad.text).status(), bad, StatusCode::kUnimplemented);
  }
  const BadInput suffix{R"("suffix":"end")", "suffix", "not supported"};
  expect_refused(completion(suffix.text).status(), suffix, StatusCode::kUnimplemented);
}

TEST(ApiRequest, TakesNullAndNeutralValuesForAbsent) {
  for (const char* members :
       {R"("temperature":null,"n":null,"stop":null,"seed":null,"max_tokens":null,"stream":null)",
        R"("stream_options":null,"logprobs":null,"logit_bias":null,"response_format":null)",
        R"("tools":[],"tool_choice":"none","functions":null,"modalities":["text"])",
        R"("suffix":"","best_of":1,"bad_words":[],"use_beam_search":false,"echo":false)",
        R"("attention":"dense","kv_cache":"exact","response_format":{"type":"text"})",
        R"("attention":{"mode":"dense"},"user":"me","metadata":{"a":"b"},"store":true)"}) {
    EXPECT_TRUE(chat(members).ok()) << members << chat(members).status().message();
    EXPECT_TRUE(completion(members).ok()) << members << completion(members).status().message();
  }
}

TEST(ApiRequest, RefusesBodiesThatAreNoObject) {
  for (const char* body : {"[]", "5", "\"x\"", "null", "true"}) {
    const Status status = parse_chat_request(body, {}).status();
    EXPECT_NE(status.message().find("the body must be a JSON object, got"), std::string::npos)
        << status.message();
  }
  EXPECT_NE(parse_chat_request("{", {}).status().message().find("not valid JSON"),
            std::string::npos);
}

TEST(ApiRequest, RefusesWrongMessages) {
  constexpr BadInput kBad[] = {
      {R"({})", "messages", "expected an array of messages, got null"},
      {R"({"messages":"hi"})", "messages", "expected an array of messages"},
      {R"({"messages":[]})", "messages", "at least one message"},
      {R"({"messages":["hi"]})", "messages[0]", "expected an object, got the string \"hi\""},
      {R"({"messages":[{"content":"x"}]})", "messages[0].role", "expected a string, got null"},
      {R"({"messages":[{"role":1,"content":"x"}]})", "messages[0].role", "got the number 1"},
      {R"({"messages":[{"role":"user"}]})", "messages[0]", "expected a string or an array"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0]", "got the number 5"},
      {R"({"messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]",
       "expected an object"},
      {R"({"messages":[{"role":"user","content":[{"text":"x"}]}]})", "messages[0].content[0].type",
       "expected a string, got null"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "messages[0].content[0].text", "expected a string, got null"},
      {R"({"messages":[{"role":"user","content":"x","name":5}]})", "messages[0].name",
       "expected a string"},
  };
  for (const BadInput& bad : kBad) {
    const Status status = parse_chat_request(bad.text, {}).status();
    ASSERT_FALSE(status.ok()) << bad.text;
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(status.field().rfind(bad.field, 0), 0U) << status.field() << " for " << bad.text;
    EXPECT_NE(status.message().find(bad.says), std::string::npos) << status.message();
  }
  constexpr BadInput kUnsupported[] = {
      {R"({"messages":[{"role":"function","content":"x"}]})", "messages[0].role",
       "function messages"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[0].type", "\"image_url\" is not supported; only text parts are"},
  };
  for (const BadInput& bad : kUnsupported) {
    expect_refused(parse_chat_request(bad.text, {}).status(), bad, StatusCode::kUnimplemented);
  }
}

TEST(ApiRequest, RefusesWrongPrompts) {
  constexpr BadInput kBad[] = {
      {R"({})", "prompt", "expected a string, an array of token ids, or an array of these"},
      {R"({"prompt":5})", "prompt", "got the number 5"},
      {R"({"prompt":{}})", "prompt", "got an object"},
      {R"({"prompt":[]})", "prompt", "at least one prompt"},
      {R"({"prompt":[1,"x"]})", "prompt[1]", "expected a token id, got the string \"x\""},
      {R"({"prompt":[1,2.5]})", "prompt[1]", "expected a token id"},
      {R"({"prompt":[1,-5]})", "prompt[1]", "got the number -5"},
      {R"({"prompt":["x",5]})", "prompt[1]", "expected a string or an array of token ids"},
      {R"({"prompt":[null]})", "prompt[0]", "got null"},
      {R"({"prompt":[[1,2147483648]]})", "prompt[0][1]", "expected a token id"},
      {R"({"prompt":["1","2","3","4","5"]})", "prompt", "5 prompts in one request; the limit is 4"},
  };
  for (const BadInput& bad : kBad) {
    expect_refused(parse_completion_request(bad.text, {}, kMaxPrompts).status(), bad,
                   StatusCode::kInvalidArgument);
  }
}

TEST(ApiRequest, ReadsAChat) {
  const Result<ApiRequest> parsed = parse_chat_request(
      R"({"model":"m","messages":[{"role":"system","content":"s"},
          {"role":"user","name":"bo","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
          "temperature":0.5,"top_p":1,"top_k":-1,"n":2,"seed":-3,"stop":["x","y"],"max_tokens":5,
          "max_completion_tokens":7.0,"logprobs":true,"top_logprobs":3,"logit_bias":{"5":-100,"6":2.5},
          "stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},
          "min_p":0.1,"repetition_penalty":1.1,"min_tokens":2,"ignore_eos":true,
          "stop_token_ids":[1,2],"allowed_token_ids":[3],"banned_token_ids":[4],"priority":-2,
          "cache_salt":"salt","skip_special_tokens":false,"include_stop_str_in_output":true,
          "add_generation_prompt":false,"mystery":1})",
      {});
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const ApiRequest& request = parsed.value();
  const auto& messages = std::get<std::vector<ChatMessage>>(request.prompts.at(0));
  EXPECT_EQ(messages.at(0).role, "system");
  EXPECT_EQ(messages.at(1).content, "a\nb");
  EXPECT_EQ(messages.at(1).name, "bo");
  const SamplingParams& sampling = request.call.sampling;
  EXPECT_EQ(sampling.temperature, 0.5F);
  EXPECT_EQ(sampling.top_k, -1);
  EXPECT_EQ(sampling.n, 2);
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(sampling.max_tokens, 7);
  EXPECT_TRUE(request.call.max_tokens_given);
  EXPECT_TRUE(sampling.logprobs);
  EXPECT_EQ(sampling.num_top_logprobs, 3);
  EXPECT_EQ(sampling.logit_bias, (std::vector<std::pair<TokenId, float>>{{5, -100.0F}, {6, 2.5F}}));
  EXPECT_EQ(sampling.min_p, 0.1F);
  EXPECT_EQ(sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(sampling.min_tokens, 2);
  EXPECT_TRUE(sampling.ignore_eos);
  EXPECT_EQ(sampling.stop_token_ids, (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(sampling.allowed_token_ids, (std::vector<TokenId>{3}));
  EXPECT_EQ(sampling.banned_token_ids, (std::vector<TokenId>{4}));
  EXPECT_EQ(request.call.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(request.call.priority, -2);
  EXPECT_EQ(request.call.cache_salt, "salt");
  EXPECT_FALSE(request.call.skip_special_tokens);
  EXPECT_TRUE(request.call.include_stop_str_in_output);
  EXPECT_FALSE(request.call.add_generation_prompt);
  EXPECT_TRUE(request.stream && request.include_usage && request.continuous_usage);
  EXPECT_EQ(request.ignored_fields, (std::vector<std::string>{"mystery"}));
}

// "text" for text, 1/2 for ids; prompts apart by spaces.
std::string prompts_of(std::string_view body) {
  std::string out;
  const ApiRequest request = parse_completion_request(body, {}, kMaxPrompts).value();
  for (const Prompt& prompt : request.prompts) {
    if (!out.empty()) out += ' ';
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      out.append("\"").append(*text).append("\"");
    } else {
      for (const TokenId id : std::get<std::vector<TokenId>>(prompt))
        out.append(std::to_string(id)).append("/");
    }
  }
  return out;
}

TEST(ApiRequest, ReadsPromptsOfEveryForm) {
  EXPECT_EQ(prompts_of(R"({"prompt":"a"})"), "\"a\"");
  EXPECT_EQ(prompts_of(R"({"prompt":[1,2]})"), "1/2/");
  EXPECT_EQ(prompts_of(R"({"prompt":["a","b"]})"), "\"a\" \"b\"");
  EXPECT_EQ(prompts_of(R"({"prompt":[[1],[2,3],"c"]})"), "1/ 2/3/ \"c\"");
}

TEST(ApiRequest, KnowsTheEndpointsDefaultLengths) {
  EXPECT_FALSE(chat("").value().call.max_tokens_given);
  const ApiRequest text = completion("").value();
  EXPECT_TRUE(text.call.max_tokens_given);
  EXPECT_EQ(text.call.sampling.max_tokens, 16);
}

TEST(ApiRequest, StartsFromTheGivenDefaults) {
  SamplingParams defaults;
  defaults.temperature = 0.6F;
  defaults.top_k = 40;
  const ApiRequest request = parse_chat_request(chat_body(R"("top_k":5)"), defaults).value();
  EXPECT_EQ(request.call.sampling.temperature, 0.6F);
  EXPECT_EQ(request.call.sampling.top_k, 5);
}

TEST(ApiRequest, ScoresEchoedPrompts) {
  const SamplingParams scored = completion(R"("echo":true,"logprobs":2)").value().call.sampling;
  EXPECT_TRUE(scored.logprobs && scored.prompt_logprobs);
  EXPECT_EQ(scored.num_prompt_top_logprobs, 2);
  const ApiRequest plain = completion(R"("echo":true)").value();
  EXPECT_FALSE(plain.call.sampling.prompt_logprobs);
  const ApiRequest only = completion(R"("echo":true,"max_tokens":0,"logprobs":0)").value();
  EXPECT_TRUE(only.call.sampling.prompt_logprobs);
  EXPECT_EQ(only.call.sampling.max_tokens, 0);
  EXPECT_FALSE(only.report_prompt_logprobs);
}

TEST(ApiRequest, ReadsTokenizeAndDetokenize) {
  const TokenizeRequest text =
      parse_tokenize_request(
          R"({"prompt":"x","add_special_tokens":false,"return_token_strs":true})")
          .value();
  EXPECT_EQ(std::get<std::string>(text.call.prompt), "x");
  EXPECT_FALSE(text.call.add_special_tokens);
  EXPECT_TRUE(text.return_token_strs);
  const TokenizeRequest chat_text =
      parse_tokenize_request(R"({"messages":[{"role":"user","content":"x"}]})").value();
  EXPECT_EQ(std::get<std::vector<ChatMessage>>(chat_text.call.prompt).size(), 1U);
  EXPECT_EQ(parse_detokenize_request(R"({"tokens":[1,2]})").value().tokens,
            (std::vector<TokenId>{1, 2}));
  EXPECT_FALSE(parse_tokenize_request("{}").ok());
  EXPECT_FALSE(parse_tokenize_request(R"({"prompt":[1]})").ok());
  EXPECT_FALSE(parse_detokenize_request("{}").ok());
  EXPECT_FALSE(parse_detokenize_request(R"({"tokens":"x"})").ok());
}

}  // namespace
}  // namespace sluice
