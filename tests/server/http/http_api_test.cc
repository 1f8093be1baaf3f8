// The endpoints over a real socket and a fake service.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/http/http_frontend.h"
#include "server/text/json_value.h"
#include "tests/fakes/fake_service.h"
#include "tests/server/http/test_client.h"

namespace sluice {
namespace {

constexpr std::string_view kChat = "/v1/chat/completions";
constexpr std::string_view kText = "/v1/completions";

std::string chat(std::string_view members = "") {
  std::string out = R"({"model":"tiny","messages":[{"role":"user","content":"hi"}])";
  if (!members.empty()) out.append(",").append(members);
  return out.append("}");
}

class HttpApiTest : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void start() {
    options.port = 0;
    options.threads = 1;
    front.reset();
    front = HttpFrontend::start(service, metrics, options).value();
  }
  TestResponse ask(std::string_view request) { return fetch(front->port(), request); }
  JsonValue ask_json(std::string_view request, int code = 200) {
    const TestResponse response = ask(request);
    EXPECT_EQ(response.code, code) << response.body;
    EXPECT_EQ(response.headers.at("content-type"), "application/json");
    Result<JsonValue> parsed = JsonValue::parse(response.body);
    EXPECT_TRUE(parsed.ok()) << response.body;
    return parsed.ok() ? std::move(parsed).value() : JsonValue();
  }
  static const JsonValue& choice(const JsonValue& body, size_t index = 0) {
    return body.find("choices")->as_array()->at(index);
  }
  static std::string error_code(const JsonValue& body) {
    const JsonValue* code = body.find("error")->find("code");
    return code->as_string() == nullptr ? "null" : *code->as_string();
  }

  FakeService service;
  Metrics metrics{"tiny"};
  HttpOptions options;
  std::unique_ptr<HttpFrontend> front;
};

TEST_F(HttpApiTest, AnswersAChat) {
  const JsonValue body = ask_json(post(kChat, chat(R"("max_tokens":3)")));
  EXPECT_TRUE(body.find("id")->as_string()->starts_with("chatcmpl-"));
  EXPECT_EQ(*body.find("object")->as_string(), "chat.completion");
  EXPECT_EQ(*body.find("model")->as_string(), "tiny");
  EXPECT_EQ(*choice(body).find("message")->find("content")->as_string(), "abc");
  EXPECT_EQ(*choice(body).find("finish_reason")->as_string(), "length");
  const JsonValue& usage = *body.find("usage");
  EXPECT_EQ(*usage.find("prompt_tokens")->as_integer(), 2);
  EXPECT_EQ(*usage.find("completion_tokens")->as_integer(), 3);
  EXPECT_EQ(*usage.find("total_tokens")->as_integer(), 5);
  EXPECT_EQ(*usage.find("prompt_tokens_details")->find("cached_tokens")->as_integer(), 1);
}

TEST_F(HttpApiTest, NumbersTheChoicesOfSeveralPrompts) {
  const JsonValue body =
      ask_json(post(kText, R"({"prompt":["x",[121,122]],"n":2,"max_tokens":2,"echo":true})"));
  ASSERT_EQ(body.find("choices")->as_array()->size(), 4U);
  const char* expected[] = {"xab", "xab", "yzab", "yzab"};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(*choice(body, i).find("index")->as_integer(), static_cast<int64_t>(i));
    EXPECT_EQ(*choice(body, i).find("text")->as_string(), expected[i]);
  }
  EXPECT_EQ(*body.find("usage")->find("prompt_tokens")->as_integer(), 3);
  EXPECT_EQ(*body.find("usage")->find("completion_tokens")->as_integer(), 8);
}

TEST_F(HttpApiTest, ScoresAnEchoedPromptWithoutOutput) {
  const JsonValue body =
      ask_json(post(kText, R"({"prompt":"xyz","max_tokens":0,"echo":true,"logprobs":1})"));
  EXPECT_EQ(*choice(body).find("text")->as_string(), "xyz");
  const JsonValue& logprobs = *choice(body).find("logprobs");
  ASSERT_EQ(logprobs.find("tokens")->as_array()->size(), 3U);
  EXPECT_TRUE((*logprobs.find("token_logprobs")->as_array())[0].is_null());
  EXPECT_EQ(*(*logprobs.find("token_logprobs")->as_array())[1].as_float(), -0.5);
  EXPECT_EQ(*body.find("usage")->find("completion_tokens")->as_integer(), 0);
  EXPECT_EQ(*choice(body).find("finish_reason")->as_string(), "length");
}

TEST_F(HttpApiTest, ReportsLogprobs) {
  const JsonValue body =
      ask_json(post(kChat, chat(R"("max_tokens":2,"logprobs":true,"top_logprobs":2)")));
  const JsonValue::Array& content = *choice(body).find("logprobs")->find("content")->as_array();
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(*content[1].find("token")->as_string(), "b");
  EXPECT_EQ(content[1].find("top_logprobs")->as_array()->size(), 2U);
  const JsonValue scored = ask_json(post(kChat, chat(R"("prompt_logprobs":0)")));
  EXPECT_EQ(scored.find("prompt_logprobs")->as_array()->size(), 2U);
}

TEST_F(HttpApiTest, SaysWhatStoppedAChoice) {
  service.stop_string = "END";
  const JsonValue body = ask_json(post(kText, R"({"prompt":"x","stop":"END"})"));
  EXPECT_EQ(*choice(body).find("finish_reason")->as_string(), "stop");
  EXPECT_EQ(*choice(body).find("stop_reason")->as_string(), "END");
}

TEST_F(HttpApiTest, DescribesItself) {
  const JsonValue document = ask_json(get("/openapi.json"));
  for (const auto& [path, methods] : *document.find("paths")->as_object()) {
    if (methods.find("get") == nullptr || path.find('{') != std::string::npos) continue;
    EXPECT_EQ(ask(get(path)).code, 200) << path;
  }
}

// The page is public; what it shows is not.
TEST_F(HttpApiTest, ShowsItsPagesWithoutAKeyAndLetsThemLoadNothingElse) {
  options.access = std::make_shared<AccessGate>(ApiKeys({"k"}));
  start();
  for (const char* path : {"/", "/docs"}) {
    const TestResponse page = ask(get(path));
    EXPECT_EQ(page.code, 200);
    EXPECT_EQ(page.headers.at("content-type"), "text/html; charset=utf-8");
    const std::string& policy = page.headers.at("content-security-policy");
    EXPECT_TRUE(policy.starts_with("default-src 'none'; connect-src 'self'")) << policy;
    EXPECT_NE(policy.find("script-src 'sha256-"), std::string::npos) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
    EXPECT_EQ(page.body.find("https://"), std::string::npos);
  }
  EXPECT_EQ(ask(get("/openapi.json")).code, 401);
}

TEST_F(HttpApiTest, StreamsAChatWithUsage) {
  const TestResponse response = ask(
      post(kChat, chat(R"("stream":true,"max_tokens":3,"stream_options":{"include_usage":true})")));
  EXPECT_EQ(response.headers.at("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(response.headers.at("transfer-encoding"), "chunked");
  const std::vector<std::string> list = events(response.body);
  ASSERT_EQ(list.size(), 6U);  // role, three tokens, usage, done
  EXPECT_NE(list[0].find(R"("delta":{"role":"assistant","content":""})"), std::string::npos);
  std::string text;
  for (size_t i = 1; i <= 3; ++i) {
    const JsonValue event = JsonValue::parse(list[i]).value();
    text += *choice(event).find("delta")->find("content")->as_string();
    EXPECT_TRUE(event.find("usage")->is_null());
  }
  EXPECT_EQ(text, "abc");
  EXPECT_NE(list[3].find(R"("finish_reason":"length")"), std::string::npos);
  const JsonValue last = JsonValue::parse(list[4]).value();
  EXPECT_TRUE(last.find("choices")->as_array()->empty());
  EXPECT_EQ(*last.find("usage")->find("completion_tokens")->as_integer(), 3);
  EXPECT_EQ(list[5], "[DONE]");
}

TEST_F(HttpApiTest, StreamsTheUsageSoFar) {
  const TestResponse response =
      ask(post(kText, R"({"prompt":"hi","stream":true,"max_tokens":3,"n":2,
                          "stream_options":{"continuous_usage_stats":true}})"));
  const std::vector<std::string> list = events(response.body);
  ASSERT_EQ(list.size(), 7U);
  const JsonValue last = JsonValue::parse(list[5]).value();
  EXPECT_EQ(*last.find("usage")->find("completion_tokens")->as_integer(), 6);
  EXPECT_EQ(*last.find("usage")->find("prompt_tokens")->as_integer(), 2);
}

TEST_F(HttpApiTest, StreamsTokensWithoutTextOnlyToThoseWhoCountTokens) {
  service.token_text = "";
  const std::string body = R"({"prompt":"hi","stream":true,"max_tokens":3,"stream_options":)";
  const std::vector<std::string> counted =
      events(ask(post(kText, body + R"({"continuous_usage_stats":true}})")).body);
  ASSERT_EQ(counted.size(), 4U);
  const JsonValue second = JsonValue::parse(counted[1]).value();
  EXPECT_EQ(*second.find("usage")->find("completion_tokens")->as_integer(), 2);
  EXPECT_EQ(*second.find("choices")->as_array()->front().find("text")->as_string(), "");
  EXPECT_EQ(events(ask(post(kText, body + "{}}")).body).size(), 2U);  // the end, and [DONE]
}

TEST_F(HttpApiTest, StreamsEchoAndLogprobs) {
  const TestResponse response =
      ask(post(kText, R"({"prompt":"hi","stream":true,"max_tokens":2,"echo":true,"logprobs":0})"));
  const std::vector<std::string> list = events(response.body);
  ASSERT_EQ(list.size(), 3U);
  EXPECT_NE(list[0].find(R"("text":"hia","logprobs":{"text_offset":[0,1,2])"), std::string::npos)
      << list[0];
  EXPECT_NE(list[1].find(R"("text":"b","logprobs":{"text_offset":[3])"), std::string::npos);
}

TEST_F(HttpApiTest, EndsABrokenStreamWithAnError) {
  service.fail = {StatusCode::kInternal, "the step failed"};
  const std::vector<std::string> list =
      events(ask(post(kText, R"({"prompt":"hi","stream":true,"max_tokens":2})")).body);
  ASSERT_EQ(list.size(), 2U);  // no [DONE]
  EXPECT_EQ(list[1], R"({"error":{"message":"the step failed","type":"server_error","param":null,)"
                     R"("code":"internal_error"}})");
  EXPECT_EQ(ask(post(kText, R"({"prompt":"hi"})")).code, 500);
}

TEST_F(HttpApiTest, MapsRefusalsToCodes) {
  EXPECT_EQ(
      error_code(ask_json(
          post(kChat, R"({"model":"gpt-9","messages":[{"role":"user","content":"x"}]})"), 404)),
      "model_not_found");
  EXPECT_EQ(error_code(ask_json(
                post(kText, std::string(R"({"prompt":")").append(5000, 'x').append("\"}")), 400)),
            "context_length_exceeded");
  EXPECT_EQ(error_code(ask_json(post(kText, R"({"prompt":"x","temperature":-1})"), 400)), "null");
  EXPECT_EQ(error_code(ask_json(post(kText, R"({"prompt":"x","n":1000000000})"), 400)), "null");
  service.refuse = {StatusCode::kResourceExhausted, "the queue is full"};
  const TestResponse full = ask(post(kText, R"({"prompt":"x"})"));
  EXPECT_EQ(full.code, 429);
  EXPECT_EQ(full.headers.at("retry-after"), "1");
  service.refuse = {StatusCode::kUnavailable, "loading"};
  EXPECT_EQ(ask(post(kText, R"({"prompt":"x"})")).code, 503);
}

TEST_F(HttpApiTest, CancelsEarlierPromptsWhenALaterOneIsRefused) {
  EXPECT_EQ(ask(post(kText, R"({"prompt":["x",""]})")).code, 400);
  EXPECT_TRUE(service.wait_none_live());
  EXPECT_EQ(service.cancelled(), 1);
}

TEST_F(HttpApiTest, SurvivesABug) {
  service.throw_bug = true;
  const JsonValue body = ask_json(post(kText, R"({"prompt":"x"})"), 500);
  EXPECT_EQ(error_code(body), "internal_error");
  service.throw_bug = false;
  EXPECT_EQ(ask(post(kText, R"({"prompt":"x"})")).code, 200);
}

TEST_F(HttpApiTest, RefusesHostileBodies) {
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += R"({"a":[)";
  for (const std::string& body :
       {deep, std::string("{\"prompt\":\"\xFF\"}"),
        std::string(R"({"prompt":"x","temperature":NaN})"),
        std::string(R"({"prompt":"x","prompt":"y"})"), std::string("[]"), std::string()}) {
    ask_json(post(kText, body), 400);
  }
}

TEST_F(HttpApiTest, WantsJson) {
  std::string form = post(kText, R"({"prompt":"x"})");
  form.replace(form.find("application/json"), 16, "text/plain");
  ask_json(form, 415);
  std::string with_charset = post(kText, R"({"prompt":"x"})");
  with_charset.replace(with_charset.find("application/json"), 16,
                       "Application/JSON; charset=utf-8");
  ask_json(with_charset, 200);
}

TEST_F(HttpApiTest, KnowsItsRoutes) {
  ask_json(get("/v1/nothing"), 404);
  const TestResponse wrong = ask(get(kText));
  EXPECT_EQ(wrong.code, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "POST, OPTIONS");
  const TestResponse asked = ask("OPTIONS /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(asked.code, 204);
  EXPECT_EQ(asked.headers.at("allow"), "GET, HEAD, OPTIONS");
  TestClient client(front->port());
  ASSERT_TRUE(client.send("HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n" + get("/version")));
  const TestResponse head = client.response(true);
  EXPECT_EQ(head.code, 200);
  EXPECT_NE(head.headers.at("content-length"), "0");
  EXPECT_NE(client.response().body.find("version"), std::string::npos);
}

TEST_F(HttpApiTest, ListsModels) {
  const JsonValue list = ask_json(get("/v1/models"));
  EXPECT_EQ(*(*list.find("data")->as_array())[0].find("id")->as_string(), "tiny");
  EXPECT_EQ(*ask_json(get("/v1/models/org%2Falias?x=1")).find("id")->as_string(), "org/alias");
  EXPECT_EQ(error_code(ask_json(get("/v1/models/none"), 404)), "model_not_found");
}

TEST_F(HttpApiTest, TokenizesAndBack) {
  EXPECT_EQ(ask(post("/tokenize", R"({"prompt":"hi","return_token_strs":true})")).body,
            R"({"count":2,"max_model_len":4096,"tokens":[104,105],"token_strs":["h","i"]})");
  EXPECT_EQ(ask(post("/tokenize", R"({"prompt":"hi"})")).body,
            R"({"count":2,"max_model_len":4096,"tokens":[104,105],"token_strs":null})");
  EXPECT_EQ(ask(post("/detokenize", R"({"tokens":[104,105]})")).body, R"({"prompt":"hi"})");
  ask_json(post("/detokenize", R"({"tokens":[999]})"), 400);
}

TEST_F(HttpApiTest, TellsItsHealth) {
  EXPECT_EQ(ask(get("/health")).code, 200);
  EXPECT_EQ(ask(get("/ping")).code, 200);
  for (const auto& [state, word] :
       {std::pair(Readiness::kLoading, "loading"), std::pair(Readiness::kDraining, "draining"),
        std::pair(Readiness::kStalled, "stalled")}) {
    service.state = state;
    EXPECT_EQ(*ask_json(get("/health/ready"), 503).find("status")->as_string(), word);
    EXPECT_EQ(ask(get("/health/live")).code, 200);
  }
}

TEST_F(HttpApiTest, ReturnsTheRequestIdMadeHarmless) {
  EXPECT_EQ(ask(get("/version", "X-Request-Id: my-id\r\n")).headers.at("x-request-id"), "my-id");
  EXPECT_EQ(ask(get("/version", "X-Request-Id: a b\xC3\xA9\r\n")).headers.at("x-request-id"),
            "a_b__");
  EXPECT_EQ(ask(get("/version", std::string("X-Request-Id: ").append(500, 'x').append("\r\n")))
                .headers.at("x-request-id")
                .size(),
            128U);
  const std::string made = ask(get("/version")).headers.at("x-request-id");
  EXPECT_EQ(made.size(), 32U);
  EXPECT_EQ(ask(post(kText, R"({"prompt":"x","stream":true})", "X-Request-Id: s\r\n"))
                .headers.at("x-request-id"),
            "s");
}

TEST_F(HttpApiTest, AnswersWithASpanOfTheClientsTrace) {
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-";
  const std::string header = "Traceparent: " + trace + "b7ad6b7169203331-01\r\n";
  for (const std::string& request : {get("/version", header), post(kText, "{", header),
                                     post(kText, R"({"prompt":"x","stream":true})", header)}) {
    const std::string answered = ask(request).headers.at("traceparent");
    EXPECT_TRUE(answered.starts_with(trace) && answered.ends_with("-01")) << answered;
    EXPECT_EQ(answered.find("b7ad6b7169203331"), std::string::npos);
  }
  EXPECT_FALSE(ask(get("/version")).headers.contains("traceparent"));
}

TEST_F(HttpApiTest, AsksForTheKey) {
  options.access = std::make_shared<AccessGate>(ApiKeys({"secret", "other"}));
  start();
  const TestResponse none = ask(get("/v1/models"));
  EXPECT_EQ(none.code, 401);
  EXPECT_EQ(none.headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer wrong\r\n")).code, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer \r\n")).code, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer other\r\n")).code, 200);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: bearer secret\r\n")).code, 200);
  for (const char* open : {"/health", "/health/live", "/health/ready", "/ping"}) {
    EXPECT_EQ(ask(get(open)).code, 200) << open;
  }
  for (const char* guarded : {"/metrics", "/version", "/v1/models/tiny"}) {
    EXPECT_EQ(ask(get(guarded)).code, 401) << guarded;
  }
  EXPECT_EQ(ask(post(kText, R"({"prompt":"hi"})")).code, 401);
}

TEST_F(HttpApiTest, CountsWhatIsTrue) {
  service.stats.num_running = 3;
  service.stats.generation_tokens = 77;
  service.stats.kv.blocks_total = 8;
  service.stats.kv.blocks_held = 2;
  ask(post(kText, R"({"prompt":"hi","max_tokens":4,"n":2})"));
  ask(get("/v1/nothing"));
  const TestResponse response = ask(get("/metrics"));
  EXPECT_EQ(response.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line : {
           "vllm:num_requests_running{model_name=\"tiny\"} 3\n",
           "vllm:kv_cache_usage_perc{model_name=\"tiny\"} 0.25\n",
           "vllm:generation_tokens_total{model_name=\"tiny\"} 77\n",
           "vllm:time_to_first_token_seconds_count{model_name=\"tiny\"} 2\n",
           "vllm:inter_token_latency_seconds_count{model_name=\"tiny\"} 6\n",
           "vllm:e2e_request_latency_seconds_count{model_name=\"tiny\"} 2\n",
           "vllm:request_generation_tokens_sum{model_name=\"tiny\"} 8\n",
           "vllm:request_prompt_tokens_sum{model_name=\"tiny\"} 4\n",
           "# TYPE vllm:num_preemptions_total counter\n",
           "process_resident_memory_bytes ",
       }) {
    EXPECT_NE(response.body.find(line), std::string::npos) << line << "\n" << response.body;
  }
  EXPECT_NE(response.body.find("finished_reason=\"length\""), std::string::npos);
  EXPECT_NE(response.body.find("route=\"/v1/completions\""), std::string::npos);
  EXPECT_EQ(response.body.find("/v1/nothing"), std::string::npos);
}

}  // namespace
}  // namespace sluice
