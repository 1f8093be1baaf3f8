// OpenAI's responses and their events.
#include "server/openai/responses_writer.h"

#include <algorithm>

#include "base/text.h"
#include "server/openai/error_body.h"
#include "server/text/json_text.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

constexpr std::string_view kIdPrefix = "resp_";

// Members with what is not there, or what a request cannot change.
constexpr std::string_view kFixedMembers =
    R"(,"background":false,"conversation":null,"instructions":null,"max_tool_calls":null)"
    R"(,"metadata":{},"previous_response_id":null,"prompt":null)"
    R"(,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":false)"
    R"(,"truncation":"disabled")";

// "tools":[...] as the client wrote them: each function's members beside its type.
void append_tools(std::string* out, const JsonValue* tools) {
  out->append(R"(,"tools":[)");
  const JsonValue::Array none;
  const JsonValue::Array& list = tools == nullptr ? none : *tools->as_array();
  for (size_t i = 0; i < list.size(); ++i) {
    JsonValue::Object tool = {{"type", JsonValue(std::string("function"))},
                              {"strict", JsonValue(false)},
                              {"parameters", JsonValue()}};
    for (const auto& [name, value] : *list[i].find("function")->as_object()) {
      const auto same = std::find_if(tool.begin(), tool.end(),
                                     [&](const auto& member) { return member.first == name; });
      if (same == tool.end()) {
        tool.emplace_back(name, value);
      } else {
        same->second = value;
      }
    }
    if (i > 0) out->push_back(',');
    append_json(out, JsonValue(std::move(tool)));
  }
  out->push_back(']');
}

void append_tool_choice(std::string* out, const GenerateCall& call) {
  out->append(R"(,"tool_choice":)");
  if (!call.required_tool.empty()) {
    out->append(R"({"type":"function","name":)");
    append_json_string(out, call.required_tool);
    out->push_back('}');
  } else if (call.tool_choice == ToolChoice::kRequired) {
    out->append(R"("required")");
  } else {
    out->append(call.tool_choice == ToolChoice::kNone ? R"("none")" : R"("auto")");
  }
  out->append(call.parallel_tool_calls ? R"(,"parallel_tool_calls":true)"
                                       : R"(,"parallel_tool_calls":false)");
}

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
  if (!call.grammar) out += R"(,"text":{"format":{"type":"text"}})";
  append_tools(&out, call.tools.get());
  append_tool_choice(&out, call);
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

// What is peculiar to the kinds of items, in the order of ResponsesWriter::Item.
struct Kind {
  std::string_view id_prefix;
  std::string_view part;    // the type of its content; empty: none
  std::string_view events;  // of its text
  std::string_view text;    // what the last of them calls it
};
constexpr Kind kKinds[] = {
    {},
    {"rs_", "reasoning_text", "response.reasoning_text", "text"},
    {"msg_", "output_text", "response.output_text", "text"},
    {"fc_", "", "response.function_call_arguments", "arguments"},
};

template <typename Item>
const Kind& kind_of(Item item) {
  return kKinds[static_cast<size_t>(item)];
}

}  // namespace

ResponsesWriter::ResponsesWriter(ResponseHead head, const GenerateCall& call)
    : head_(std::move(head)), parameters_(parameters_of(call)), logprobs_(call.sampling.logprobs) {}

std::string ResponsesWriter::response(std::string_view status, const Usage* usage,
                                      const Status* error) const {
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
  out.append(R"(,"output":[)").append(output_).append("]");
  out.append(parameters_).append(kFixedMembers).append(R"(,"usage":)");
  if (usage != nullptr) {
    append_response_usage(&out, *usage);
  } else {
    out += "null";
  }
  return out += '}';
}

std::string ResponsesWriter::part(std::string_view text, std::string_view scores) const {
  std::string out = str(R"({"type":")", kind_of(open_).part, R"(","text":)");
  append_json_string(&out, text);
  if (open_ == Item::kReasoning) return out += '}';
  out.append(R"(,"annotations":[],"logprobs":[)").append(scores).append("]}");
  return out;
}

std::string ResponsesWriter::item(std::string_view status) const {
  std::string out = str(R"({"id":")", item_id_, R"(","status":")", status, R"(","type":)");
  if (open_ == Item::kCall) {
    out += R"("function_call","call_id":)";
    append_json_string(&out, call_.id);
    out += R"(,"name":)";
    append_json_string(&out, call_.name);
    out += R"(,"arguments":)";
    append_json_string(&out, text_);
    return out += '}';
  }
  out += open_ == Item::kReasoning ? R"("reasoning","summary":[],"content":[)"
                                   : R"("message","role":"assistant","content":[)";
  if (status != "in_progress") out += part(text_, scores_);
  return out += "]}";
}

void ResponsesWriter::open_item(std::string* out, Item kind, const ToolCallDelta* call) {
  if (open_ == kind && call == nullptr) return;
  close_item(out, "completed");
  open_ = kind;
  item_id_ = str(kind_of(kind).id_prefix, head_.id.substr(kIdPrefix.size()), "_", num_items_);
  if (call != nullptr) call_ = *call;
  append_item_event(out, "response.output_item.added", "in_progress");
  if (kind == Item::kCall) return;
  open_item_event(out, "response.content_part.added");
  out->append(R"(,"part":)").append(part({}, {})).append("}\n\n");
}

void ResponsesWriter::close_item(std::string* out, std::string_view status) {
  if (open_ == Item::kNone) return;
  const Kind& kind = kind_of(open_);
  open_item_event(out, str(kind.events, ".done"));
  out->append(",\"").append(kind.text).append("\":");
  append_json_string(out, text_);
  if (open_ == Item::kMessage) out->append(R"(,"logprobs":[)").append(scores_).append("]");
  if (open_ == Item::kCall) {
    out->append(R"(,"name":)");
    append_json_string(out, call_.name);
  }
  out->append("}\n\n");
  if (open_ != Item::kCall) {
    open_item_event(out, "response.content_part.done");
    out->append(R"(,"part":)").append(part(text_, scores_)).append("}\n\n");
  }
  append_item_event(out, "response.output_item.done", status);
  output_.append(num_items_ == 0 ? "" : ",").append(item(status));
  ++num_items_;
  open_ = Item::kNone;
  text_.clear();
  scores_.clear();
}

void ResponsesWriter::append_delta(std::string* out, std::string_view text,
                                   std::string_view scores) {
  text_ += text;
  if (!scores.empty()) scores_.append(scores_.empty() ? "" : ",").append(scores);
  open_item_event(out, str(kind_of(open_).events, ".delta"));
  out->append(R"(,"delta":")");
  append_json_escaped(out, text);
  out->push_back('"');
  if (open_ == Item::kMessage) out->append(R"(,"logprobs":[)").append(scores).append("]");
  out->append("}\n\n");
}

void ResponsesWriter::open_event(std::string* out, std::string_view type) {
  out->append("event: ").append(type).append("\ndata: {\"type\":\"").append(type);
  out->append(R"(","sequence_number":)");
  append_json(out, next_event_++);
}

void ResponsesWriter::open_item_event(std::string* out, std::string_view type) {
  open_event(out, type);
  out->append(R"(,"item_id":")").append(item_id_).append(R"(","output_index":)");
  append_json(out, num_items_);
  if (open_ != Item::kCall) out->append(R"(,"content_index":0)");
}

void ResponsesWriter::append_item_event(std::string* out, std::string_view type,
                                        std::string_view status) {
  open_event(out, type);
  out->append(R"(,"output_index":)");
  append_json(out, num_items_);
  out->append(R"(,"item":)").append(item(status)).append("}\n\n");
}

void ResponsesWriter::append_response_event(std::string* out, std::string_view type,
                                            const std::string& response) {
  open_event(out, type);
  out->append(R"(,"response":)").append(response).append("}\n\n");
}

void ResponsesWriter::append_start(std::string* out, int, const Usage&) {
  const std::string begun = response("in_progress", nullptr, nullptr);
  append_response_event(out, "response.created", begun);
  append_response_event(out, "response.in_progress", begun);
}

void ResponsesWriter::append_news(std::string* out, const ChoiceNews& news) {
  if (news.ending.finish != FinishReason::kNone) ending_ = news.ending;
  if (!news.reasoning.empty()) {
    open_item(out, Item::kReasoning);
    append_delta(out, news.reasoning, {});
  }
  const std::string scores = logprobs_ ? token_scores(news.tokens) : std::string();
  const bool scored_text = !scores.empty() && news.reasoning.empty() && news.calls.empty();
  if (!news.text.empty() || scored_text) {
    open_item(out, Item::kMessage);
    append_delta(out, news.text, scores);
  }
  for (const ToolCallDelta& call : news.calls) {
    if (!call.name.empty()) open_item(out, Item::kCall, &call);
    if (!call.arguments.empty()) append_delta(out, call.arguments, {});
  }
}

void ResponsesWriter::end_items(std::string* out) {
  if (open_ == Item::kNone && num_items_ == 0) open_item(out, Item::kMessage);
  close_item(out, end_status());
}

void ResponsesWriter::append_end(std::string* out, const Usage& usage) {
  const std::string_view status = end_status();
  end_items(out);
  append_response_event(out, str("response.", status), response(status, &usage, nullptr));
}

// The whole answer is what a stream of one piece would have ended with.
std::string ResponsesWriter::whole(const WholeResponse& response) {
  const ChoiceResult& choice = response.choices.front();
  std::string events;
  append_news(&events, {.reasoning = choice.reasoning,
                        .text = choice.text,
                        .calls = choice.calls,
                        .tokens = choice.tokens,
                        .ending = choice.ending});
  end_items(&events);
  return this->response(end_status(), &response.usage, nullptr);
}

void ResponsesWriter::append_error(std::string* out, const Status& error) {
  append_response_event(out, "response.failed", response("failed", nullptr, &error));
}

}  // namespace sluice
