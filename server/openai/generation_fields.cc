// The tables of fields. To support one more, move its row from kRefused to kFields.
#include "server/openai/generation_fields.h"

#include "base/text.h"
#include "server/openai/field_reader.h"
#include "server/openai/form_readers.h"
#include "server/openai/generation_draft.h"
#include "server/openai/generation_readers.h"
#include "server/openai/newer_tools.h"

namespace sluice {
namespace {

// Sets of protocols.
constexpr unsigned kChat = 1;
constexpr unsigned kText = 2;
constexpr unsigned kResponses = 4;
constexpr unsigned kMessages = 8;
constexpr unsigned kBoth = kChat | kText;
constexpr unsigned kAll = kBoth | kResponses | kMessages;

using Draft = GenerationDraft;

Status ignore(const Field&, Draft&) { return {}; }

struct KnownField {
  std::string_view name;
  unsigned endpoints;
  Status (*read)(const Field& field, Draft& draft);
};

using F = const Field&;

// Fields that are understood. OpenAI's first, then vLLM's, then those without influence.
constexpr KnownField kFields[] = {
    {"model", kAll, [](F f, Draft& d) { return f.read(&d.request.model); }},
    {"n", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().n); }},
    {"max_tokens", kBoth | kMessages,
     [](F f, Draft& d) { return read_optional(f, &d.max_tokens); }},
    {"max_output_tokens", kResponses,
     [](F f, Draft& d) { return read_optional(f, &d.max_tokens); }},
    {"max_completion_tokens", kChat,
     [](F f, Draft& d) { return read_optional(f, &d.max_completion_tokens); }},
    {"temperature", kAll, [](F f, Draft& d) { return f.read(&d.sampling().temperature); }},
    {"top_p", kAll, [](F f, Draft& d) { return f.read(&d.sampling().top_p); }},
    {"presence_penalty", kAll,
     [](F f, Draft& d) { return f.read(&d.sampling().presence_penalty); }},
    {"frequency_penalty", kAll,
     [](F f, Draft& d) { return f.read(&d.sampling().frequency_penalty); }},
    {"seed", kAll, read_seed},
    {"stop", kBoth, [](F f, Draft& d) { return f.read_strings(&d.request.call.stop); }},
    {"stop_sequences", kMessages,
     [](F f, Draft& d) { return f.read_strings(&d.request.call.stop); }},
    {"logit_bias", kAll, read_logit_bias},
    {"stream", kAll, [](F f, Draft& d) { return f.read(&d.request.stream); }},
    {"stream_options", kBoth, read_stream_options},
    {"logprobs", kChat, [](F f, Draft& d) { return f.read(&d.chat_logprobs); }},
    {"logprobs", kText, [](F f, Draft& d) { return read_logprob_count(f, &d.text_logprobs); }},
    {"top_logprobs", kChat | kResponses,
     [](F f, Draft& d) { return read_logprob_count(f, &d.top_logprobs); }},
    {"best_of", kBoth, [](F f, Draft& d) { return read_optional(f, &d.best_of); }},
    {"echo", kText, [](F f, Draft& d) { return f.read(&d.request.echo); }},
    {"include", kResponses, read_include},
    {"response_format", kBoth, read_response_format},
    {"text", kResponses, read_text_config},
    {"output_config", kMessages, read_output_config},
    {"truncation", kResponses, read_truncation},
    {"store", kResponses, read_store},
    {"previous_response_id", kResponses, read_previous_response},
    {"thinking", kMessages, read_thinking},
    {"modalities", kChat, read_modalities},
    {"tool_choice", kChat, read_tool_choice},
    {"tools", kChat, read_tools},
    {"tool_choice", kResponses, read_responses_tool_choice},
    {"tools", kResponses, read_responses_tools},
    {"tool_choice", kMessages, read_messages_tool_choice},
    {"tools", kMessages, read_messages_tools},
    {"parallel_tool_calls", kChat | kResponses,
     [](F f, Draft& d) { return f.read(&d.request.call.parallel_tool_calls); }},

    {"top_k", kAll, [](F f, Draft& d) { return f.read(&d.sampling().top_k); }},
    {"min_p", kAll, [](F f, Draft& d) { return f.read(&d.sampling().min_p); }},
    {"repetition_penalty", kAll,
     [](F f, Draft& d) { return f.read(&d.sampling().repetition_penalty); }},
    {"min_tokens", kAll, [](F f, Draft& d) { return f.read(&d.sampling().min_tokens); }},
    {"ignore_eos", kAll, [](F f, Draft& d) { return f.read(&d.sampling().ignore_eos); }},
    {"stop_token_ids", kAll,
     [](F f, Draft& d) { return f.read_ids(&d.sampling().stop_token_ids); }},
    {"allowed_token_ids", kAll,
     [](F f, Draft& d) { return f.read_ids(&d.sampling().allowed_token_ids); }},
    {"banned_token_ids", kAll,
     [](F f, Draft& d) { return f.read_ids(&d.sampling().banned_token_ids); }},
    {"prompt_logprobs", kBoth,
     [](F f, Draft& d) { return read_logprob_count(f, &d.prompt_logprobs); }},
    {"skip_special_tokens", kAll,
     [](F f, Draft& d) { return f.read(&d.request.call.skip_special_tokens); }},
    {"include_stop_str_in_output", kAll,
     [](F f, Draft& d) { return f.read(&d.request.call.include_stop_str_in_output); }},
    {"add_generation_prompt", kChat,
     [](F f, Draft& d) { return f.read(&d.request.call.add_generation_prompt); }},
    {"continue_final_message", kChat,
     [](F f, Draft& d) { return f.read(&d.request.call.continue_final_message); }},
    {"chat_template_kwargs", kChat | kResponses | kMessages, read_template_variables},
    {"add_special_tokens", kText,
     [](F f, Draft& d) { return f.read(&d.request.call.add_special_tokens); }},
    {"cache_salt", kAll, [](F f, Draft& d) { return f.read(&d.request.call.cache_salt); }},
    {"priority", kAll, [](F f, Draft& d) { return f.read(&d.request.call.priority); }},
    {"structured_outputs", kBoth, read_structured_outputs},
    {"guided_json", kBoth, read_guided},
    {"guided_regex", kBoth, read_guided},
    {"guided_choice", kBoth, read_guided},
    {"guided_grammar", kBoth, read_guided},
    {"attention", kAll, [](F f, Draft&) { return read_only_mode(f, "dense"); }},
    {"kv_cache", kAll, [](F f, Draft&) { return read_only_mode(f, "exact"); }},

    {"messages", kChat | kMessages, ignore},  // what makes the prompt is read by the caller
    {"system", kMessages, ignore},
    {"input", kResponses, ignore},
    {"instructions", kResponses, ignore},
    {"prompt", kText, ignore},
    {"user", kAll, ignore},
    {"metadata", kAll, ignore},
    {"store", kBoth, ignore},
    {"service_tier", kAll, ignore},
    {"safety_identifier", kBoth | kResponses, ignore},
    {"prompt_cache_key", kBoth | kResponses, ignore},
    {"prompt_cache_options", kResponses, ignore},
    {"prompt_cache_retention", kBoth | kResponses, ignore},
    {"stream_options", kResponses, ignore},  // only whether events are padded
    {"cache_control", kMessages, ignore},
    {"inference_geo", kMessages, ignore},
    {"speed", kMessages, ignore},
    {"prediction", kChat, ignore},
    {"request_id", kAll, ignore},
    {"spaces_between_special_tokens", kBoth, ignore},
};

// Fields that would change the answer. Null, false and empty values are as good as absent.
constexpr struct {
  std::string_view name;
  unsigned endpoints;
} kRefused[] = {
    {"functions", kChat},
    {"function_call", kChat},
    {"audio", kChat},
    {"web_search_options", kChat},
    {"reasoning_effort", kChat},
    {"verbosity", kChat},
    {"echo", kChat},
    {"add_special_tokens", kChat},
    {"chat_template", kChat},
    {"documents", kChat},
    {"mm_processor_kwargs", kChat},
    {"suffix", kText},
    {"prompt_embeds", kText},
    {"n", kResponses | kMessages},
    {"background", kResponses},
    {"conversation", kResponses},
    {"prompt", kResponses},
    {"reasoning", kResponses},
    {"max_tool_calls", kResponses},
    {"context_management", kResponses | kMessages},
    {"container", kMessages},
    {"mcp_servers", kMessages},
    {"bad_words", kBoth},
    {"logits_processors", kBoth},
    {"logits_processor_pattern", kBoth},
    {"use_beam_search", kBoth},
    {"truncate_prompt_tokens", kBoth},
    {"return_token_ids", kBoth},
    {"return_tokens_as_token_ids", kBoth},
    {"kv_transfer_params", kBoth},
};

bool is_empty(const JsonValue& value) {
  if (value.is_null()) return true;
  if (const bool* flag = value.as_bool()) return !*flag;
  if (const std::string* text = value.as_string()) return text->empty();
  if (const JsonValue::Array* array = value.as_array()) return array->empty();
  if (const JsonValue::Object* object = value.as_object()) return object->empty();
  return false;
}

Status read_one(const Field& field, unsigned endpoint, Draft& draft) {
  for (const KnownField& known : kFields) {
    if (known.name == field.name && (known.endpoints & endpoint) != 0) {
      return known.read(field, draft);
    }
  }
  for (const auto& refused : kRefused) {
    if (refused.name != field.name || (refused.endpoints & endpoint) == 0) continue;
    if (is_empty(field.value)) return {};
    return field.unsupported("not supported by this server; leave it out");
  }
  draft.request.ignored_fields.push_back(field.name);
  return {};
}

unsigned endpoint_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::kChat:
      return kChat;
    case Protocol::kResponses:
      return kResponses;
    case Protocol::kMessages:
      return kMessages;
    case Protocol::kText:
      break;
  }
  return kText;
}

}  // namespace

std::vector<std::string_view> understood_fields(Protocol protocol) {
  std::vector<std::string_view> out;
  for (const KnownField& known : kFields) {
    if ((known.endpoints & endpoint_of(protocol)) != 0) out.push_back(known.name);
  }
  return out;
}

Status read_generation_fields(const JsonValue& body, ApiRequest* out) {
  const JsonValue::Object* object = body.as_object();
  if (object == nullptr) {
    return invalid_argument(str("the body must be a JSON object, got ", body.describe()));
  }
  Draft draft;
  draft.request = std::move(*out);
  const unsigned endpoint = endpoint_of(draft.request.protocol);
  for (const auto& [name, value] : *object) {
    SLUICE_RETURN_IF_ERROR(read_one({name, value}, endpoint, draft));
  }
  SLUICE_RETURN_IF_ERROR(draft.settle());
  *out = std::move(draft.request);
  return {};
}

}  // namespace sluice
