// Anthropic's messages and their events.
#include "server/openai/messages_writer.h"

#include "server/openai/error_body.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

// "usage":{...}. Tokens read from the prefix cache are counted apart from the others.
void append_usage_member(std::string* out, const Usage& usage) {
  out->append(R"("usage":{"input_tokens":)");
  append_json(out, usage.prompt_tokens - usage.cached_tokens);
  out->append(R"(,"cache_creation_input_tokens":0,"cache_read_input_tokens":)");
  append_json(out, usage.cached_tokens);
  out->append(R"(,"output_tokens":)");
  append_json(out, usage.completion_tokens);
  out->push_back('}');
}

// "stop_reason":...,"stop_sequence":...
void append_stop(std::string* out, const Ending& ending) {
  const bool by_string = ending.finish == FinishReason::kStop && !ending.stop_string.empty();
  if (ending.finish == FinishReason::kNone) {
    out->append(R"("stop_reason":null)");
  } else if (ending.finish == FinishReason::kLength) {
    out->append(R"("stop_reason":"max_tokens")");
  } else {
    out->append(by_string ? R"("stop_reason":"stop_sequence")" : R"("stop_reason":"end_turn")");
  }
  out->append(R"(,"stop_sequence":)");
  if (by_string) {
    append_json_string(out, ending.stop_string);
  } else {
    out->append("null");
  }
}

// The message without its closing brace; `content`: the blocks' JSON.
void append_message(std::string* out, const ResponseHead& head, std::string_view content,
                    const Ending& ending, const Usage& usage) {
  out->append(R"({"id":)");
  append_json_string(out, head.id);
  out->append(R"(,"type":"message","role":"assistant","model":)");
  append_json_string(out, head.model);
  out->append(R"(,"content":[)").append(content).append("],");
  append_stop(out, ending);
  out->push_back(',');
  append_usage_member(out, usage);
  out->push_back('}');
}

std::string text_block(std::string_view text) {
  std::string out = R"({"type":"text","text":)";
  append_json_string(&out, text);
  return out += '}';
}

}  // namespace

std::string MessagesWriter::whole(const WholeResponse& response) {
  const ChoiceResult& choice = response.choices.front();
  std::string out;
  append_message(&out, head_, text_block(choice.text), choice.ending, response.usage);
  return out;
}

void MessagesWriter::append_start(std::string* out, int, const Usage& usage) {
  out->append("event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
  append_message(out, head_, {}, Ending(), usage);
  out->append(
      "}\n\nevent: content_block_start\n"
      R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
      "\n\n");
}

void MessagesWriter::append_news(std::string* out, const ChoiceNews& news) {
  if (news.ending.finish != FinishReason::kNone) ending_ = news.ending;
  if (news.text.empty()) return;
  out->append(
      "event: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")");
  append_json_escaped(out, news.text);
  out->append("\"}}\n\n");
}

void MessagesWriter::append_end(std::string* out, const Usage& usage) {
  out->append(
      "event: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":0})"
      "\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
  append_stop(out, ending_);
  out->append("},");
  append_usage_member(out, usage);
  out->append("}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

void MessagesWriter::append_error(std::string* out, const Status& error) {
  out->append("event: error\ndata: ").append(error_body(error, Protocol::kMessages)).append("\n\n");
}

}  // namespace sluice
