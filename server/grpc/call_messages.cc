// Fields of the proto messages, one by one.
#include "server/grpc/call_messages.h"

#include <memory>
#include <string>
#include <utility>

#include "base/text.h"
#include "server/text/json_value.h"

namespace sluice {
namespace {

template <typename Ids>
std::vector<TokenId> ids_of(const Ids& ids) {
  return {ids.begin(), ids.end()};
}

template <typename T>
void add(JsonValue::Object& object, const char* name, T value) {
  auto& [key, member] = object.emplace_back();
  key = name;
  member.set(std::move(value));
}

// {"type": "function", "function": {...}}, and an id before it if there is one.
void add_function(const std::string& id, JsonValue::Object function, JsonValue::Array& out) {
  JsonValue::Object object;
  if (!id.empty()) add(object, "id", id);
  add(object, "type", std::string("function"));
  add(object, "function", std::move(function));
  out.emplace_back().set(std::move(object));
}

// What the template sees of calls and of what answers them, as OpenAI writes it.
Status add_tool_members(const v1::ChatMessage& message, const std::string& field,
                        ChatMessage& out) {
  JsonValue::Object more;
  JsonValue::Array calls;
  for (const v1::ToolCall& call : message.tool_calls()) {
    Result<JsonValue> arguments = JsonValue::parse(call.arguments());
    if (!arguments.ok() || arguments->as_object() == nullptr) {
      const std::string name = str(field, ".tool_calls[", calls.size(), "].arguments");
      return invalid_argument(name + " must hold a JSON object, as text", name);
    }
    JsonValue::Object function;
    add(function, "name", call.name());
    function.emplace_back("arguments", std::move(arguments).value());
    add_function(call.id(), std::move(function), calls);
  }
  out.has_content = calls.empty() || !out.content.empty();
  if (!calls.empty()) add(more, "tool_calls", std::move(calls));
  if (!message.tool_call_id().empty()) {
    add(more, "tool_call_id", message.tool_call_id());
  }
  if (!message.reasoning().empty()) {
    add(more, "reasoning_content", message.reasoning());
  }
  if (!more.empty()) out.more = std::make_shared<const JsonValue>(std::move(more));
  return {};
}

// As OpenAI writes them; null where there are none.
Result<std::shared_ptr<const JsonValue>> tools_of(const v1::Chat& chat) {
  JsonValue::Array tools;
  for (const v1::Tool& tool : chat.tools()) {
    JsonValue::Object function;
    add(function, "name", tool.name());
    add(function, "description", tool.description());
    if (!tool.parameters_json().empty()) {
      Result<JsonValue> schema = JsonValue::parse(tool.parameters_json());
      const std::string field = str("chat.tools[", tools.size(), "].parameters_json");
      if (!schema.ok()) return invalid_argument(field + ": " + schema.status().message(), field);
      function.emplace_back("parameters", std::move(schema).value());
    }
    if (tool.strict()) add(function, "strict", true);
    add_function({}, std::move(function), tools);
  }
  if (tools.empty()) return std::shared_ptr<const JsonValue>();
  return std::make_shared<const JsonValue>(std::move(tools));
}

Result<std::vector<ChatMessage>> messages_of(v1::Chat* chat) {
  std::vector<ChatMessage> out;
  out.reserve(static_cast<size_t>(chat->messages_size()));
  for (v1::ChatMessage& message : *chat->mutable_messages()) {
    ChatMessage& added = out.emplace_back();
    added.role = std::move(*message.mutable_role());
    added.content = std::move(*message.mutable_content());
    added.name = std::move(*message.mutable_name());
    const Status status = add_tool_members(message, str("messages[", out.size() - 1, "]"), added);
    if (!status.ok()) return status;
  }
  return out;
}

Status set_chat(v1::Chat* chat, GenerateCall* call) {
  Result<std::vector<ChatMessage>> messages = messages_of(chat);
  if (!messages.ok()) return messages.status();
  call->prompt = std::move(messages).value();
  Result<std::shared_ptr<const JsonValue>> tools = tools_of(*chat);
  if (!tools.ok()) return tools.status();
  call->tools = std::move(tools).value();
  if (chat->tool_choice() == v1::TOOL_CHOICE_NONE) call->tool_choice = ToolChoice::kNone;
  if (chat->tool_choice() == v1::TOOL_CHOICE_REQUIRED) call->tool_choice = ToolChoice::kRequired;
  call->required_tool = std::move(*chat->mutable_required_tool());
  if (chat->has_parallel_tool_calls()) call->parallel_tool_calls = chat->parallel_tool_calls();
  call->continue_final_message = chat->continue_final_message();
  if (chat->has_add_generation_prompt()) {
    call->add_generation_prompt = chat->add_generation_prompt();
  }
  return {};
}

SamplingParams to_sampling(const v1::SamplingParams& in, const SamplingParams& defaults) {
  SamplingParams out = defaults;
  if (in.has_n()) out.n = in.n();
  if (in.has_max_tokens()) out.max_tokens = in.max_tokens();
  out.min_tokens = in.min_tokens();
  if (in.has_temperature()) out.temperature = in.temperature();
  if (in.has_top_p()) out.top_p = in.top_p();
  if (in.has_top_k()) out.top_k = in.top_k();
  if (in.has_min_p()) out.min_p = in.min_p();
  if (in.has_repetition_penalty()) out.repetition_penalty = in.repetition_penalty();
  out.presence_penalty = in.presence_penalty();
  out.frequency_penalty = in.frequency_penalty();
  if (in.has_seed()) out.seed = in.seed();
  out.ignore_eos = in.ignore_eos();
  out.stop_token_ids = ids_of(in.stop_token_ids());
  out.logit_bias = {in.logit_bias().begin(), in.logit_bias().end()};
  out.allowed_token_ids = ids_of(in.allowed_token_ids());
  out.banned_token_ids = ids_of(in.banned_token_ids());
  out.logprobs = in.has_logprobs();
  out.num_top_logprobs = in.logprobs();
  out.prompt_logprobs = in.has_prompt_logprobs();
  out.num_prompt_top_logprobs = in.prompt_logprobs();
  return out;
}

void add_top(const TextLogprob& score, v1::TokenLogprob* out) {
  for (const TextLogprob::Alternative& alternative : score.top) {
    v1::TopLogprob* top = out->add_top();
    top->set_token_id(alternative.id);
    top->set_token(alternative.bytes);
    top->set_logprob(alternative.logprob);
  }
}

void set_score(const TextLogprob& score, v1::TokenLogprob* out) {
  out->set_token_id(score.id);
  out->set_token(score.bytes);
  out->set_logprob(score.logprob);
  out->set_rank(score.rank);
  add_top(score, out);
}

// No form was asked for: none.
std::optional<GrammarSpec> to_form(const v1::StructuredOutput& in) {
  GrammarSpec form{.field = "structured_output"};
  switch (in.form_case()) {
    case v1::StructuredOutput::kJsonObject:
      if (!in.json_object()) return std::nullopt;
      form.kind = GrammarSpec::Kind::kJsonObject;
      break;
    case v1::StructuredOutput::kJsonSchema:
      form.kind = GrammarSpec::Kind::kJsonSchema;
      form.text = in.json_schema();
      break;
    case v1::StructuredOutput::kRegex:
      form.kind = GrammarSpec::Kind::kRegex;
      form.text = in.regex();
      break;
    case v1::StructuredOutput::kGrammar:
      form.kind = GrammarSpec::Kind::kEbnf;
      form.text = in.grammar();
      break;
    case v1::StructuredOutput::kChoice:
      form.kind = GrammarSpec::Kind::kChoice;
      form.choices = {in.choice().texts().begin(), in.choice().texts().end()};
      break;
    case v1::StructuredOutput::FORM_NOT_SET:
      return std::nullopt;
  }
  return form;
}

v1::FinishReason to_proto(FinishReason reason, bool made_calls) {
  switch (reason) {
    case FinishReason::kStop:
      return made_calls ? v1::FINISH_REASON_TOOL_CALLS : v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kNone:
    case FinishReason::kCancelled:  // these two end the call with a status instead
    case FinishReason::kError:
      break;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

}  // namespace

Result<GenerateCall> to_call(v1::GenerateRequest request, const SamplingParams& defaults) {
  GenerateCall call;
  switch (request.prompt_case()) {
    case v1::GenerateRequest::kText:
      call.prompt = std::move(*request.mutable_text());
      break;
    case v1::GenerateRequest::kChat:
      SLUICE_RETURN_IF_ERROR(set_chat(request.mutable_chat(), &call));
      break;
    case v1::GenerateRequest::kTokenIds:
      call.prompt = ids_of(request.token_ids().ids());
      break;
    case v1::GenerateRequest::PROMPT_NOT_SET:
      return invalid_argument("prompt is missing: set text, chat or token_ids", "prompt");
  }
  if (request.has_add_special_tokens()) call.add_special_tokens = request.add_special_tokens();
  call.sampling = to_sampling(request.sampling(), defaults);
  call.grammar = to_form(request.structured_output());
  call.max_tokens_given = request.sampling().has_max_tokens();
  call.stop = {request.stop().begin(), request.stop().end()};
  call.include_stop_str_in_output = request.include_stop_in_output();
  if (request.has_skip_special_tokens()) call.skip_special_tokens = request.skip_special_tokens();
  call.priority = request.priority();
  call.cache_salt = std::move(*request.mutable_cache_salt());
  call.request_id = std::move(*request.mutable_request_id());
  return call;
}

Result<GenerateCall> to_call(v1::TokenizeRequest request) {
  GenerateCall call;
  switch (request.prompt_case()) {
    case v1::TokenizeRequest::kText:
      call.prompt = std::move(*request.mutable_text());
      break;
    case v1::TokenizeRequest::kChat:
      SLUICE_RETURN_IF_ERROR(set_chat(request.mutable_chat(), &call));
      break;
    case v1::TokenizeRequest::PROMPT_NOT_SET:
      return invalid_argument("prompt is missing: set text or chat", "prompt");
  }
  if (request.has_add_special_tokens()) call.add_special_tokens = request.add_special_tokens();
  return call;
}

void add_choice(const TextDelta& delta, const std::vector<TokenId>& stop_ids,
                v1::GenerateResponse* out) {
  v1::ChoiceDelta* choice = out->add_choices();
  choice->set_index(delta.choice);
  choice->set_reasoning(delta.reasoning);
  choice->set_text(delta.text);
  for (const ToolCallDelta& call : delta.calls) {
    v1::ToolCall* added = choice->add_tool_calls();
    added->set_index(call.index);
    added->set_id(call.id);
    added->set_name(call.name);
    added->set_arguments(call.arguments);
  }
  choice->mutable_token_ids()->Add(delta.tokens.begin(), delta.tokens.end());
  for (const TextLogprob& score : delta.logprobs) set_score(score, choice->add_logprobs());
  if (delta.finish == FinishReason::kNone) return;
  choice->set_finish_reason(to_proto(delta.finish, delta.made_calls));
  if (!delta.stop_id) {
    if (!delta.stop_reason.empty()) choice->set_stop_text(delta.stop_reason);
    return;
  }
  for (const TokenId id : stop_ids) {
    if (id == *delta.stop_id) choice->set_stop_token_id(id);
  }
}

void add_prompt_logprob(TokenId id, const std::optional<TextLogprob>& score,
                        v1::GenerateResponse* out) {
  v1::TokenLogprob* logprob = out->add_prompt_logprobs();
  if (score) return set_score(*score, logprob);
  logprob->set_token_id(id);
}

void set_usage(const Usage& usage, v1::Usage* out) {
  out->set_prompt_tokens(usage.prompt_tokens);
  out->set_completion_tokens(usage.completion_tokens);
  out->set_cached_tokens(usage.cached_tokens);
}

v1::Readiness to_proto(Readiness readiness) {
  switch (readiness) {
    case Readiness::kLoading:
      return v1::READINESS_LOADING;
    case Readiness::kReady:
      return v1::READINESS_READY;
    case Readiness::kDraining:
      return v1::READINESS_DRAINING;
    case Readiness::kStalled:
      break;
  }
  return v1::READINESS_STALLED;
}

}  // namespace sluice
