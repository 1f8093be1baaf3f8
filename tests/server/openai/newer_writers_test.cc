// Answers of /v1/responses and /v1/messages: the events that their SDKs put together.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/openai/error_body.h"
#include "server/openai/messages_writer.h"
#include "server/openai/responses_writer.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

struct Event {
  std::string type;  // of its "event: " line
  JsonValue data;
};

std::vector<Event> events_of(std::string_view stream) {
  std::vector<Event> out;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    const std::string_view lines = stream.substr(0, end);
    const size_t data = lines.find("\ndata: ");
    EXPECT_TRUE(lines.starts_with("event: ") && data != std::string_view::npos) << lines;
    if (data == std::string_view::npos) return out;
    Result<JsonValue> parsed = JsonValue::parse(lines.substr(data + 7));
    EXPECT_TRUE(parsed.ok()) << lines;
    out.push_back({std::string(lines.substr(7, data - 7)), std::move(parsed).value()});
    EXPECT_EQ(*out.back().data.find("type")->as_string(), out.back().type);
    stream.remove_prefix(end + 2);
  }
  return out;
}

std::vector<std::string> types_of(const std::vector<Event>& events) {
  std::vector<std::string> out;
  out.reserve(events.size());
  for (const Event& event : events) out.push_back(event.type);
  return out;
}

std::string stream_of(ResponseWriter& writer, const Ending& ending) {
  std::string out;
  writer.append_start(&out, 0, {5, 0, 2});
  writer.append_news(&out, {.text = "a\n", .calls = {}, .tokens = {}});
  writer.append_news(&out, {.text = "b", .calls = {}, .tokens = {}});
  writer.append_news(&out, {.calls = {}, .tokens = {}, .ending = ending});
  writer.append_end(&out, {5, 3, 2});
  return out;
}

WholeResponse whole_of(std::string text, const Ending& ending) {
  WholeResponse out;
  out.choices.resize(1);
  out.choices[0].text = std::move(text);
  out.choices[0].ending = ending;
  out.usage = {5, 3, 2};
  return out;
}

const Ending kLength{FinishReason::kLength, {}, {}};
const Ending kByString{FinishReason::kStop, "END", {}};

TEST(MessagesWriter, WritesTheEventsOfAMessage) {
  MessagesWriter writer({.id = "msg_1", .model = "tiny"});
  const std::vector<Event> events = events_of(stream_of(writer, kByString));
  EXPECT_EQ(types_of(events),
            (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                      "content_block_delta", "content_block_stop", "message_delta",
                                      "message_stop"}));
  const JsonValue& message = *events[0].data.find("message");
  EXPECT_TRUE(message.find("content")->as_array()->empty());
  EXPECT_EQ(*message.find("usage")->find("input_tokens")->as_integer(), 3);
  EXPECT_EQ(*message.find("usage")->find("cache_read_input_tokens")->as_integer(), 2);
  EXPECT_EQ(*events[2].data.find("delta")->find("text")->as_string(), "a\n");
  const JsonValue& delta = *events[5].data.find("delta");
  EXPECT_EQ(*delta.find("stop_reason")->as_string(), "stop_sequence");
  EXPECT_EQ(*delta.find("stop_sequence")->as_string(), "END");
  EXPECT_EQ(*events[5].data.find("usage")->find("output_tokens")->as_integer(), 3);
}

TEST(MessagesWriter, WritesAWholeMessage) {
  MessagesWriter writer({.id = "msg_1", .model = "tiny"});
  EXPECT_EQ(writer.whole(whole_of("a\nb", kLength)),
            R"({"id":"msg_1","type":"message","role":"assistant","model":"tiny",)"
            R"("content":[{"type":"text","text":"a\nb"}],"stop_reason":"max_tokens",)"
            R"("stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,)"
            R"("cache_read_input_tokens":2,"output_tokens":3}})");
}

TEST(MessagesWriter, EndsAFailedStreamInAnthropicsWords) {
  MessagesWriter writer({.id = "msg_1", .model = "tiny"});
  std::string out;
  writer.append_error(&out, {StatusCode::kUnavailable, "away"});
  const std::vector<Event> events = events_of(out);
  EXPECT_EQ(*events.at(0).data.find("error")->find("type")->as_string(), "overloaded_error");
}

TEST(ResponsesWriter, WritesTheEventsOfAResponse) {
  ResponsesWriter writer({.id = "resp_1", .model = "tiny"}, {});
  const std::vector<Event> events = events_of(stream_of(writer, {FinishReason::kStop, {}, {}}));
  EXPECT_EQ(types_of(events),
            (std::vector<std::string>{"response.created", "response.in_progress",
                                      "response.output_item.added", "response.content_part.added",
                                      "response.output_text.delta", "response.output_text.delta",
                                      "response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.completed"}));
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(*events[i].data.find("sequence_number")->as_integer(), static_cast<int64_t>(i));
  }
  EXPECT_EQ(*events[6].data.find("text")->as_string(), "a\nb");
  const JsonValue& response = *events.back().data.find("response");
  EXPECT_EQ(*response.find("status")->as_string(), "completed");
  const JsonValue& item = response.find("output")->as_array()->at(0);
  EXPECT_EQ(*item.find("id")->as_string(), "msg_1_0");
  EXPECT_EQ(*item.find("content")->as_array()->at(0).find("text")->as_string(), "a\nb");
  EXPECT_EQ(*response.find("usage")->find("total_tokens")->as_integer(), 8);
}

TEST(ResponsesWriter, SaysThatALimitCutTheAnswer) {
  ResponsesWriter writer({.id = "resp_1", .model = "tiny"}, {});
  const JsonValue response = JsonValue::parse(writer.whole(whole_of("a", kLength))).value();
  EXPECT_EQ(*response.find("status")->as_string(), "incomplete");
  EXPECT_EQ(*response.find("incomplete_details")->find("reason")->as_string(), "max_output_tokens");
  ResponsesWriter streaming({.id = "resp_1", .model = "tiny"}, {});
  EXPECT_EQ(events_of(stream_of(streaming, kLength)).back().type, "response.incomplete");
}

TEST(ResponsesWriter, KeepsTheScoresForTheLastEvents) {
  GenerateCall call;
  call.sampling.logprobs = true;
  ResponsesWriter writer({.id = "resp_1", .model = "tiny"}, call);
  TextLogprob score;
  score.text = score.bytes = "a";
  score.logprob = -0.5F;
  std::string out;
  writer.append_start(&out, 0, {});
  for (int i = 0; i < 2; ++i)
    writer.append_news(&out, {.text = "a", .calls = {}, .tokens = {{"a", score}}});
  writer.append_end(&out, {});
  const std::vector<Event> events = events_of(out);
  EXPECT_EQ(events[4].data.find("logprobs")->as_array()->size(), 1U);
  EXPECT_EQ(events[6].data.find("logprobs")->as_array()->size(), 2U);
}

TEST(ResponsesWriter, EndsAFailedStreamWithTheReason) {
  ResponsesWriter writer({.id = "resp_1", .model = "tiny"}, {});
  std::string out;
  writer.append_error(&out, {StatusCode::kInternal, "bug"});
  const std::vector<Event> events = events_of(out);
  EXPECT_EQ(events.at(0).type, "response.failed");
  const JsonValue& error = *events[0].data.find("response")->find("error");
  EXPECT_EQ(*error.find("code")->as_string(), "server_error");
  EXPECT_EQ(*error.find("message")->as_string(), "bug");
}

TEST(ErrorBody, SpeaksAnthropicsWordsToItsClients) {
  EXPECT_EQ(error_body({StatusCode::kUnauthenticated, "key"}, Protocol::kMessages),
            R"({"type":"error","error":{"type":"authentication_error","message":"key"}})");
  EXPECT_EQ(refusal_body("no", "bad_request", Protocol::kMessages),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"no"}})");
}

}  // namespace
}  // namespace sluice
