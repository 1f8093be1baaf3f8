// OpenAI's responses and their events.
#include "server/openai/responses_writer.h"

#include "base/text.h"
#include "server/openai/error_body.h"
#include "server/text/json_text.h"

namespace sluice {
namespace {

constexpr std::string_view kIdPrefix = "resp_";

// Members with what is not there, or what a request cannot change.
constexpr std::string_view kFixedMembers =
    R"(,"background":false,"conversation":null,"instructions":null,"max_tool_calls":null)"
    R"(,"metadata":{},"parallel_tool_calls":true,"previous_response_id":null,"prompt":null)"
    R"(,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":false)"
    R"(,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"truncation":"disabled")";

std::string parameters_of(const GenerateCall& call) {
  const SamplingParams& sampling = call.sampling;
  std::string out = R"(,"temperature":)";
  append_json(&out, sampling.temperature);
  out += R"(,"top_p":)";
  append_json(&out, sampling.top_p);
  out += R"(,"top_logprobs":)";
  append_json(&out, int64_t{sampling.num_top_logprobs});
  out += R"(,"max_output_tokens":)";
  if (call.max_tokens_given) {
    append_json(&out, sampling.max_tokens);
  } else {
    out += "null";
  }
  return out;
}

void append_response_usage(std::string* out, const Usage& usage) {
  out->append(R"({"input_tokens":)");
  append_json(out, usage.prompt_tokens);
  out->append(R"(,"input_tokens_details":{"cached_tokens":)");
  append_json(out, usage.cached_tokens);
  out->append(R"(,"cache_write_tokens":0},"output_tokens":)");
  append_json(out, usage.completion_tokens);
  out->append(R"(,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":)");
  append_json(out, usage.prompt_tokens + usage.completion_tokens);
  out->push_back('}');
}

// {"code":...,"message":...}. The SDK's type of this object knows two words for it.
void append_failure(std::string* out, const Status& error) {
  const bool busy = error.code() == StatusCode::kResourceExhausted;
  out->append(R"({"code":)");
  append_json_string(out, busy ? "rate_limit_exceeded" : "server_error");
  out->append(R"(,"message":)");
  append_json_string(out, error.message());
  out->push_back('}');
}

}  // namespace

ResponsesWriter::ResponsesWriter(ResponseHead head, const GenerateCall& call)
    : head_(std::move(head)),
      message_id_("msg_" + head_.id.substr(kIdPrefix.size())),
      parameters_(parameters_of(call)),
      logprobs_(call.sampling.logprobs) {}

std::string ResponsesWriter::response(std::string_view status, std::string_view output,
                                      const Usage* usage, const Status* error) const {
  std::string out = R"({"id":)";
  append_json_string(&out, head_.id);
  out += R"(,"object":"response","created_at":)";
  append_json(&out, head_.created_unix_s);
  out += R"(,"model":)";
  append_json_string(&out, head_.model);
  out.append(R"(,"status":")").append(status).append(R"(","error":)");
  if (error != nullptr) {
    append_failure(&out, *error);
  } else {
    out += "null";
  }
  out += status == "incomplete" ? R"(,"incomplete_details":{"reason":"max_output_tokens"})"
                                : R"(,"incomplete_details":null)";
  out.append(R"(,"output":[)").append(output).append("]");
  out.append(parameters_).append(kFixedMembers).append(R"(,"usage":)");
  if (usage != nullptr) {
    append_response_usage(&out, *usage);
  } else {
    out += "null";
  }
  return out += '}';
}

std::string ResponsesWriter::part(std::string_view text, std::string_view logprobs) const {
  std::string out = R"({"type":"output_text","text":)";
  append_json_string(&out, text);
  out.append(R"(,"annotations":[],"logprobs":[)").append(logprobs).append("]}");
  return out;
}

std::string ResponsesWriter::message(std::string_view status) const {
  std::string out = R"({"id":)";
  append_json_string(&out, message_id_);
  out.append(R"(,"type":"message","role":"assistant","status":")").append(status);
  out.append(R"(","content":[)");
  if (status != "in_progress") out += part(text_, scores_);
  return out += "]}";
}

void ResponsesWriter::keep(std::string_view text, std::string_view logprobs, const Ending& ending) {
  text_ += text;
  if (!logprobs.empty()) scores_.append(scores_.empty() ? "" : ",").append(logprobs);
  if (ending.finish != FinishReason::kNone) ending_ = ending;
}

std::string ResponsesWriter::whole(const WholeResponse& response) {
  const ChoiceResult& choice = response.choices.front();
  keep(choice.text, logprobs_ ? token_scores(choice.tokens) : "", choice.ending);
  return this->response(end_status(), message(end_status()), &response.usage, nullptr);
}

void ResponsesWriter::open_event(std::string* out, std::string_view type) {
  out->append("event: ").append(type).append("\ndata: {\"type\":\"").append(type);
  out->append(R"(","sequence_number":)");
  append_json(out, next_event_++);
}

void ResponsesWriter::open_text_event(std::string* out, std::string_view type) {
  open_event(out, type);
  out->append(R"(,"item_id":)");
  append_json_string(out, message_id_);
  out->append(R"(,"output_index":0,"content_index":0)");
}

void ResponsesWriter::append_response_event(std::string* out, std::string_view type,
                                            const std::string& response) {
  open_event(out, type);
  out->append(R"(,"response":)").append(response).append("}\n\n");
}

void ResponsesWriter::append_start(std::string* out, int, const Usage&) {
  const std::string begun = response("in_progress", {}, nullptr, nullptr);
  append_response_event(out, "response.created", begun);
  append_response_event(out, "response.in_progress", begun);
  open_event(out, "response.output_item.added");
  out->append(R"(,"output_index":0,"item":)").append(message("in_progress")).append("}\n\n");
  open_text_event(out, "response.content_part.added");
  out->append(R"(,"part":)").append(part({}, {})).append("}\n\n");
}

void ResponsesWriter::append_news(std::string* out, const ChoiceNews& news) {
  const std::string scores = logprobs_ ? token_scores(news.tokens) : std::string();
  keep(news.text, scores, news.ending);
  if (news.text.empty() && scores.empty()) return;
  open_text_event(out, "response.output_text.delta");
  out->append(R"(,"delta":")");
  append_json_escaped(out, news.text);
  out->append(R"(","logprobs":[)").append(scores).append("]}\n\n");
}

void ResponsesWriter::append_end(std::string* out, const Usage& usage) {
  const std::string_view status = end_status();
  open_text_event(out, "response.output_text.done");
  out->append(R"(,"text":)");
  append_json_string(out, text_);
  out->append(R"(,"logprobs":[)").append(scores_).append("]}\n\n");
  open_text_event(out, "response.content_part.done");
  out->append(R"(,"part":)").append(part(text_, scores_)).append("}\n\n");
  open_event(out, "response.output_item.done");
  out->append(R"(,"output_index":0,"item":)").append(message(status)).append("}\n\n");
  append_response_event(out, str("response.", status),
                        response(status, message(status), &usage, nullptr));
}

void ResponsesWriter::append_error(std::string* out, const Status& error) {
  append_response_event(out, "response.failed", response("failed", {}, nullptr, &error));
}

}  // namespace sluice
