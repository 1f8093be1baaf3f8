// The tables of fields. To support one more, move its row from kRefused to kFields.
#include "server/openai/generation_fields.h"

#include <charconv>

#include "base/text.h"
#include "kernels/sampling_batch.h"
#include "server/openai/field_reader.h"

namespace sluice {
namespace {

enum Endpoints : unsigned { kChat = 1, kText = 2, kBoth = 3 };

// A request under way: fields that only make sense together wait here until all are read.
struct Draft {
  ApiRequest request;
  std::optional<int64_t> max_tokens;
  std::optional<int64_t> max_completion_tokens;
  std::optional<int32_t> best_of;
  std::optional<int32_t> top_logprobs;     // chat
  std::optional<int32_t> text_logprobs;    // completions: their `logprobs`
  std::optional<int32_t> prompt_logprobs;  // both, vLLM's
  bool chat_logprobs = false;              // chat's `logprobs`
  bool has_stream_options = false;
  bool no_tools = false;

  SamplingParams& sampling() { return request.call.sampling; }
};

Status unsupported(const Field& field, std::string_view what) {
  return {StatusCode::kUnimplemented, str(field.name, ": ", what), field.name};
}

template <typename T>
Status read_optional(const Field& field, std::optional<T>* out) {
  if (field.value.is_null()) return {};
  return field.read(&out->emplace());
}

Status read_logprob_count(const Field& field, std::optional<int32_t>* out) {
  SLUICE_RETURN_IF_ERROR(read_optional(field, out));
  if (out->has_value() && (**out < 0 || **out > kMaxTopLogprobs)) {
    return field.wrong(str(**out, " is out of range; 0 ... ", kMaxTopLogprobs, " is allowed"));
  }
  return {};
}

Status read_seed(const Field& field, Draft& draft) {
  std::optional<int64_t> seed;
  SLUICE_RETURN_IF_ERROR(read_optional(field, &seed));
  if (seed) draft.sampling().seed = static_cast<uint64_t>(*seed);
  return {};
}

Status read_logit_bias(const Field& field, Draft& draft) {
  if (field.value.is_null()) return {};
  const JsonValue::Object* object = field.value.as_object();
  if (object == nullptr) return field.mismatch("an object of token ids and biases");
  for (const auto& [key, value] : *object) {
    TokenId id = 0;
    const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
    if (end.ec != std::errc() || end.ptr != key.data() + key.size() || id < 0) {
      return field.wrong(str(JsonValue(key).describe(), " is no token id"));
    }
    if (value.is_null()) return Field{str("logit_bias.", id), value}.mismatch("a number");
    float bias = 0;
    SLUICE_RETURN_IF_ERROR((Field{str("logit_bias.", id), value}.read(&bias)));
    draft.sampling().logit_bias.emplace_back(id, bias);
  }
  return {};
}

Status read_stream_options(const Field& field, Draft& draft) {
  if (field.value.is_null()) return {};
  if (field.value.as_object() == nullptr) return field.mismatch("an object");
  draft.has_stream_options = true;
  if (const JsonValue* value = field.value.find("include_usage")) {
    const Field usage{"stream_options.include_usage", *value};
    SLUICE_RETURN_IF_ERROR(usage.read(&draft.request.include_usage));
  }
  if (const JsonValue* value = field.value.find("continuous_usage_stats")) {
    const Field usage{"stream_options.continuous_usage_stats", *value};
    SLUICE_RETURN_IF_ERROR(usage.read(&draft.request.continuous_usage));
  }
  return {};
}

// {"type": "text"} is all there is.
Status read_response_format(const Field& field, Draft&) {
  if (field.value.is_null()) return {};
  const JsonValue* type = field.value.find("type");
  if (type == nullptr || type->as_string() == nullptr) {
    return field.mismatch("an object with a \"type\"");
  }
  if (*type->as_string() == "text") return {};
  return unsupported(field, type->describe() + R"( is not supported; only {"type": "text"} is)");
}

// The choice of an attention mode or KV kind by name, alone or as {"mode": name}.
Status read_only_mode(const Field& field, std::string_view only) {
  if (field.value.is_null()) return {};
  const JsonValue* mode = field.value.as_object() ? field.value.find("mode") : &field.value;
  if (mode == nullptr || mode->as_string() == nullptr) return field.mismatch("the name of a mode");
  if (*mode->as_string() == only) return {};
  return unsupported(field, str(mode->describe(), " is not supported; only \"", only, "\" is"));
}

// "none": the template does not see the tools.
Status read_tool_choice(const Field& field, Draft& draft) {
  const std::string* word = field.value.as_string();
  draft.no_tools = word != nullptr && *word == "none";
  if (field.value.is_null() || (word != nullptr && (*word == "none" || *word == "auto"))) return {};
  return unsupported(field, "no tool can be forced; use \"auto\" or \"none\"");
}

Status read_tools(const Field& field, Draft& draft) {
  const JsonValue::Array* tools = field.value.as_array();
  if (field.value.is_null() || (tools != nullptr && tools->empty())) return {};
  if (tools == nullptr) return field.mismatch("an array of tools");
  for (size_t i = 0; i < tools->size(); ++i) {
    const Field tool{str(field.name, "[", i, "]"), (*tools)[i]};
    if (tool.value.as_object() == nullptr) return tool.mismatch("an object");
  }
  draft.request.call.tools = std::make_shared<const JsonValue>(field.value);
  return {};
}

Status read_template_variables(const Field& field, Draft& draft) {
  if (field.value.is_null()) return {};
  if (field.value.as_object() == nullptr) return field.mismatch("an object");
  draft.request.call.template_variables = std::make_shared<const JsonValue>(field.value);
  return {};
}

Status read_modalities(const Field& field, Draft&) {
  std::vector<std::string> kinds;
  SLUICE_RETURN_IF_ERROR(field.read_strings(&kinds));
  for (const std::string& kind : kinds) {
    if (kind != "text") return unsupported(field, "only [\"text\"] is supported");
  }
  return {};
}

Status ignore(const Field&, Draft&) { return {}; }

struct KnownField {
  std::string_view name;
  Endpoints endpoints;
  Status (*read)(const Field& field, Draft& draft);
};

using F = const Field&;

// Fields that are understood. OpenAI's first, then vLLM's, then those without influence.
constexpr KnownField kFields[] = {
    {"model", kBoth, [](F f, Draft& d) { return f.read(&d.request.model); }},
    {"n", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().n); }},
    {"max_tokens", kBoth, [](F f, Draft& d) { return read_optional(f, &d.max_tokens); }},
    {"max_completion_tokens", kChat,
     [](F f, Draft& d) { return read_optional(f, &d.max_completion_tokens); }},
    {"temperature", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().temperature); }},
    {"top_p", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().top_p); }},
    {"presence_penalty", kBoth,
     [](F f, Draft& d) { return f.read(&d.sampling().presence_penalty); }},
    {"frequency_penalty", kBoth,
     [](F f, Draft& d) { return f.read(&d.sampling().frequency_penalty); }},
    {"seed", kBoth, read_seed},
    {"stop", kBoth, [](F f, Draft& d) { return f.read_strings(&d.request.call.stop); }},
    {"logit_bias", kBoth, read_logit_bias},
    {"stream", kBoth, [](F f, Draft& d) { return f.read(&d.request.stream); }},
    {"stream_options", kBoth, read_stream_options},
    {"logprobs", kChat, [](F f, Draft& d) { return f.read(&d.chat_logprobs); }},
    {"logprobs", kText, [](F f, Draft& d) { return read_logprob_count(f, &d.text_logprobs); }},
    {"top_logprobs", kChat, [](F f, Draft& d) { return read_logprob_count(f, &d.top_logprobs); }},
    {"best_of", kBoth, [](F f, Draft& d) { return read_optional(f, &d.best_of); }},
    {"echo", kText, [](F f, Draft& d) { return f.read(&d.request.echo); }},
    {"response_format", kBoth, read_response_format},
    {"modalities", kChat, read_modalities},
    {"tool_choice", kChat, read_tool_choice},
    {"tools", kChat, read_tools},

    {"top_k", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().top_k); }},
    {"min_p", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().min_p); }},
    {"repetition_penalty", kBoth,
     [](F f, Draft& d) { return f.read(&d.sampling().repetition_penalty); }},
    {"min_tokens", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().min_tokens); }},
    {"ignore_eos", kBoth, [](F f, Draft& d) { return f.read(&d.sampling().ignore_eos); }},
    {"stop_token_ids", kBoth,
     [](F f, Draft& d) { return f.read_ids(&d.sampling().stop_token_ids); }},
    {"allowed_token_ids", kBoth,
     [](F f, Draft& d) { return f.read_ids(&d.sampling().allowed_token_ids); }},
    {"banned_token_ids", kBoth,
     [](F f, Draft& d) { return f.read_ids(&d.sampling().banned_token_ids); }},
    {"prompt_logprobs", kBoth,
     [](F f, Draft& d) { return read_logprob_count(f, &d.prompt_logprobs); }},
    {"skip_special_tokens", kBoth,
     [](F f, Draft& d) { return f.read(&d.request.call.skip_special_tokens); }},
    {"include_stop_str_in_output", kBoth,
     [](F f, Draft& d) { return f.read(&d.request.call.include_stop_str_in_output); }},
    {"add_generation_prompt", kChat,
     [](F f, Draft& d) { return f.read(&d.request.call.add_generation_prompt); }},
    {"continue_final_message", kChat,
     [](F f, Draft& d) { return f.read(&d.request.call.continue_final_message); }},
    {"chat_template_kwargs", kChat, read_template_variables},
    {"add_special_tokens", kText,
     [](F f, Draft& d) { return f.read(&d.request.call.add_special_tokens); }},
    {"cache_salt", kBoth, [](F f, Draft& d) { return f.read(&d.request.call.cache_salt); }},
    {"priority", kBoth, [](F f, Draft& d) { return f.read(&d.request.call.priority); }},
    {"attention", kBoth, [](F f, Draft&) { return read_only_mode(f, "dense"); }},
    {"kv_cache", kBoth, [](F f, Draft&) { return read_only_mode(f, "exact"); }},

    {"messages", kChat, ignore},  // read by the caller, as is `prompt`
    {"prompt", kText, ignore},
    {"user", kBoth, ignore},
    {"metadata", kBoth, ignore},
    {"store", kBoth, ignore},
    {"service_tier", kBoth, ignore},
    {"safety_identifier", kBoth, ignore},
    {"prompt_cache_key", kBoth, ignore},
    {"prediction", kChat, ignore},
    {"parallel_tool_calls", kChat, ignore},
    {"request_id", kBoth, ignore},
    {"spaces_between_special_tokens", kBoth, ignore},
};

// Fields that would change the answer. Null, false and empty values are as good as absent.
constexpr struct {
  std::string_view name;
  Endpoints endpoints;
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
    {"bad_words", kBoth},
    {"logits_processors", kBoth},
    {"logits_processor_pattern", kBoth},
    {"guided_json", kBoth},
    {"guided_regex", kBoth},
    {"guided_choice", kBoth},
    {"guided_grammar", kBoth},
    {"structured_outputs", kBoth},
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

Status read_one(const Field& field, Endpoints endpoint, Draft& draft) {
  for (const KnownField& known : kFields) {
    if (known.name == field.name && (known.endpoints & endpoint) != 0) {
      return known.read(field, draft);
    }
  }
  for (const auto& refused : kRefused) {
    if (refused.name != field.name || (refused.endpoints & endpoint) == 0) continue;
    if (is_empty(field.value)) return {};
    return unsupported(field, "not supported by this server; leave it out");
  }
  draft.request.ignored_fields.push_back(field.name);
  return {};
}

Status settle_lengths(Draft& draft) {
  ApiRequest& request = draft.request;
  if (draft.no_tools) request.call.tools = nullptr;
  if (draft.max_completion_tokens) draft.max_tokens = draft.max_completion_tokens;
  // A chat answers at the length it needs; the older API stops at its default of 16 tokens.
  request.call.max_tokens_given = draft.max_tokens.has_value() || !request.chat;
  if (draft.max_tokens) draft.sampling().max_tokens = *draft.max_tokens;
  if (draft.best_of && *draft.best_of != draft.sampling().n) {
    return {StatusCode::kUnimplemented,
            str("best_of: ", *draft.best_of, " is not supported; only n, here ", draft.sampling().n,
                ", is"),
            "best_of"};
  }
  return {};
}

Status settle_logprobs(Draft& draft) {
  SamplingParams& sampling = draft.sampling();
  if (draft.top_logprobs.value_or(0) > 0 && !draft.chat_logprobs) {
    return invalid_argument("top_logprobs: needs \"logprobs\": true", "top_logprobs");
  }
  sampling.logprobs = draft.chat_logprobs || draft.text_logprobs.has_value();
  sampling.num_top_logprobs = draft.top_logprobs.value_or(draft.text_logprobs.value_or(0));
  // Echoed prompts are scored like the output; without any output, scoring is all there is to do.
  const bool score_echo = draft.request.echo && draft.text_logprobs.has_value();
  const bool no_output = draft.request.echo && draft.max_tokens == 0;
  draft.request.report_prompt_logprobs = draft.prompt_logprobs.has_value();
  sampling.prompt_logprobs = score_echo || no_output || draft.prompt_logprobs.has_value();
  sampling.num_prompt_top_logprobs =
      std::max(draft.prompt_logprobs.value_or(0), score_echo ? *draft.text_logprobs : 0);
  return {};
}

Status settle_stream(const Draft& draft) {
  if (draft.has_stream_options && !draft.request.stream) {
    return invalid_argument("stream_options: needs \"stream\": true", "stream_options");
  }
  if (draft.request.report_prompt_logprobs && draft.request.stream) {
    return invalid_argument("prompt_logprobs: not available with \"stream\": true",
                            "prompt_logprobs");
  }
  return {};
}

}  // namespace

Status read_generation_fields(const JsonValue& body, ApiRequest* out) {
  const JsonValue::Object* object = body.as_object();
  if (object == nullptr) {
    return invalid_argument(str("the body must be a JSON object, got ", body.describe()));
  }
  Draft draft;
  draft.request = std::move(*out);
  const Endpoints endpoint = draft.request.chat ? kChat : kText;
  for (const auto& [name, value] : *object) {
    SLUICE_RETURN_IF_ERROR(read_one({name, value}, endpoint, draft));
  }
  SLUICE_RETURN_IF_ERROR(settle_lengths(draft));
  SLUICE_RETURN_IF_ERROR(settle_logprobs(draft));
  SLUICE_RETURN_IF_ERROR(settle_stream(draft));
  *out = std::move(draft.request);
  return {};
}

}  // namespace sluice
