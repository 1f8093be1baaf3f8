// Anthropic's messages and their events.
#include "server/openai/messages_writer.h"

#include "server/openai/error_body.h"
#include "server/text/json_text.h"
#include "server/text/json_value.h"

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
  } else if (by_string) {
    out->append(R"("stop_reason":"stop_sequence")");
  } else {
    out->append(ending.made_calls ? R"("stop_reason":"tool_use")" : R"("stop_reason":"end_turn")");
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

std::string thinking_block(std::string_view text) {
  std::string out = R"({"type":"thinking","thinking":)";
  append_json_string(&out, text);
  return out += R"(,"signature":""})";
}

// `input`: JSON. What a limit has cut off is none, and is left out.
std::string call_block(const ToolCallDelta& call, std::string_view input) {
  const Result<JsonValue> whole = JsonValue::parse(input);
  const bool object = whole.ok() && whole->as_object() != nullptr;
  std::string out = R"({"type":"tool_use","id":)";
  append_json_string(&out, call.id);
  out += R"(,"name":)";
  append_json_string(&out, call.name);
  return out.append(R"(,"input":)").append(object ? input : "{}").append("}");
}

}  // namespace

std::string MessagesWriter::whole(const WholeResponse& response) {
  const ChoiceResult& choice = response.choices.front();
  std::string blocks;
  const auto add = [&blocks](const std::string& block) {
    if (!blocks.empty()) blocks += ',';
    blocks += block;
  };
  if (!choice.reasoning.empty()) add(thinking_block(choice.reasoning));
  const bool only_text = choice.reasoning.empty() && choice.calls.empty();
  if (!choice.text.empty() || only_text) add(text_block(choice.text));
  for (const ToolCallDelta& call : choice.calls) add(call_block(call, call.arguments));
  std::string out;
  append_message(&out, head_, blocks, choice.ending, response.usage);
  return out;
}

void MessagesWriter::append_start(std::string* out, int, const Usage& usage) {
  out->append("event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
  append_message(out, head_, {}, Ending(), usage);
  out->append("}\n\n");
}

void MessagesWriter::open_block(std::string* out, Block kind, std::string_view start) {
  if (open_ == kind) return;
  close_block(out);
  open_ = kind;
  out->append(
      "event: content_block_start\n"
      R"(data: {"type":"content_block_start","index":)");
  append_json(out, num_blocks_++);
  out->append(R"(,"content_block":)").append(start).append("}\n\n");
}

void MessagesWriter::close_block(std::string* out) {
  if (open_ == Block::kNone) return;
  open_ = Block::kNone;
  out->append(
      "event: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":)");
  append_json(out, num_blocks_ - 1);
  out->append("}\n\n");
}

void MessagesWriter::append_delta(std::string* out, std::string_view type, std::string_view member,
                                  std::string_view text) const {
  out->append(
      "event: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":)");
  append_json(out, num_blocks_ - 1);
  out->append(R"(,"delta":{"type":")").append(type).append(R"(",")").append(member).append("\":\"");
  append_json_escaped(out, text);
  out->append("\"}}\n\n");
}

void MessagesWriter::append_call(std::string* out, const ToolCallDelta& call) {
  if (!call.name.empty()) {
    close_block(out);
    open_block(out, Block::kCall, call_block(call, {}));
  }
  if (!call.arguments.empty()) {
    append_delta(out, "input_json_delta", "partial_json", call.arguments);
  }
}

void MessagesWriter::append_news(std::string* out, const ChoiceNews& news) {
  if (news.ending.finish != FinishReason::kNone) ending_ = news.ending;
  if (!news.reasoning.empty()) {
    open_block(out, Block::kThinking, thinking_block({}));
    append_delta(out, "thinking_delta", "thinking", news.reasoning);
  }
  if (!news.text.empty()) {
    open_block(out, Block::kText, text_block({}));
    append_delta(out, "text_delta", "text", news.text);
  }
  for (const ToolCallDelta& call : news.calls) append_call(out, call);
}

void MessagesWriter::append_end(std::string* out, const Usage& usage) {
  if (num_blocks_ == 0) open_block(out, Block::kText, text_block({}));
  close_block(out);
  out->append("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
  append_stop(out, ending_);
  out->append("},");
  append_usage_member(out, usage);
  out->append("}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

void MessagesWriter::append_error(std::string* out, const Status& error) {
  out->append("event: error\ndata: ").append(error_body(error, Protocol::kMessages)).append("\n\n");
}

}  // namespace sluice
