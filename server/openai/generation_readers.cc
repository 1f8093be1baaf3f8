// The readers, one a field.
#include "server/openai/generation_readers.h"

#include <charconv>

#include "base/text.h"
#include "kernels/sampling_batch.h"
#include "server/openai/form_readers.h"

namespace sluice {

Status read_logprob_count(const Field& field, std::optional<int32_t>* out) {
  SLUICE_RETURN_IF_ERROR(read_optional(field, out));
  if (out->has_value() && (**out < 0 || **out > kMaxTopLogprobs)) {
    return field.wrong(str(**out, " is out of range; 0 ... ", kMaxTopLogprobs, " is allowed"));
  }
  return {};
}

Status read_seed(const Field& field, GenerationDraft& draft) {
  std::optional<int64_t> seed;
  SLUICE_RETURN_IF_ERROR(read_optional(field, &seed));
  if (seed) draft.sampling().seed = static_cast<uint64_t>(*seed);
  return {};
}

Status read_logit_bias(const Field& field, GenerationDraft& draft) {
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

Status read_stream_options(const Field& field, GenerationDraft& draft) {
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

// Scores of tokens are wanted, or more about items that no answer here has.
Status read_include(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  const JsonValue::Array* kinds = field.value.as_array();
  if (kinds == nullptr) return field.mismatch("an array of strings");
  for (size_t i = 0; i < kinds->size(); ++i) {
    const Field kind{str(field.name, "[", i, "]"), (*kinds)[i]};
    if (kind.value.as_string() == nullptr) return kind.mismatch("a string");
    draft.chat_logprobs |= *kind.value.as_string() == "message.output_text.logprobs";
  }
  return {};
}

Status read_text_config(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  if (field.value.as_object() == nullptr) return field.mismatch("an object");
  if (const JsonValue* verbosity = field.value.find("verbosity");
      verbosity != nullptr && !verbosity->is_null()) {
    return Field{"text.verbosity", *verbosity}.unsupported(
        "not supported by this server; leave it out");
  }
  const JsonValue* format = field.value.find("format");
  return format == nullptr ? Status() : read_response_format({"text.format", *format}, draft);
}

Status read_output_config(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  if (field.value.as_object() == nullptr) return field.mismatch("an object");
  if (const JsonValue* effort = field.value.find("effort");
      effort != nullptr && !effort->is_null()) {
    return Field{"output_config.effort", *effort}.unsupported(
        "not supported by this server; leave it out");
  }
  const JsonValue* format = field.value.find("format");
  return format == nullptr ? Status()
                           : read_response_format({"output_config.format", *format}, draft);
}

Status read_truncation(const Field& field, GenerationDraft&) {
  std::string mode = "disabled";
  SLUICE_RETURN_IF_ERROR(field.read(&mode));
  if (mode == "disabled") return {};
  return field.unsupported("prompts are never cut; only \"disabled\" is supported");
}

Status read_store(const Field& field, GenerationDraft&) {
  bool store = false;
  SLUICE_RETURN_IF_ERROR(field.read(&store));
  if (!store) return {};
  return field.unsupported("responses are not kept; leave it out or send false");
}

Status read_previous_response(const Field& field, GenerationDraft&) {
  std::string id;
  SLUICE_RETURN_IF_ERROR(field.read(&id));
  if (id.empty()) return {};
  return field.unsupported("responses are not kept; send the whole conversation in \"input\"");
}

Status read_thinking(const Field& field, GenerationDraft&) {
  if (field.value.is_null()) return {};
  const JsonValue* type = field.value.find("type");
  if (type == nullptr || type->as_string() == nullptr) {
    return field.mismatch("an object with a \"type\"");
  }
  if (*type->as_string() == "disabled") return {};
  return field.unsupported(R"(only {"type": "disabled"} is supported)");
}

Status read_only_mode(const Field& field, std::string_view only) {
  if (field.value.is_null()) return {};
  const JsonValue* mode = field.value.as_object() ? field.value.find("mode") : &field.value;
  if (mode == nullptr || mode->as_string() == nullptr) return field.mismatch("the name of a mode");
  if (*mode->as_string() == only) return {};
  return field.unsupported(str(mode->describe(), " is not supported; only \"", only, "\" is"));
}

// A word, or {"type": "function", "function": {"name": ...}}.
Status read_tool_choice(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  GenerateCall& call = draft.request.call;
  if (const std::string* word = field.value.as_string()) {
    for (const auto& [name, choice] : {std::pair{"auto", ToolChoice::kAuto},
                                       {"none", ToolChoice::kNone},
                                       {"required", ToolChoice::kRequired}}) {
      if (*word != name) continue;
      call.tool_choice = choice;
      return {};
    }
    return field.wrong(
        str(field.value.describe(), R"( is none of "auto", "none", "required" and an object)"));
  }
  const JsonValue* type = field.value.find("type");
  if (type != nullptr && type->as_string() != nullptr && *type->as_string() != "function") {
    return Field{field.name + ".type", *type}.unsupported(type->describe() +
                                                          " is not supported; \"function\" is");
  }
  const JsonValue* function = field.value.find("function");
  const JsonValue* name = function == nullptr ? nullptr : function->find("name");
  if (name == nullptr || name->as_string() == nullptr || name->as_string()->empty()) {
    return field.mismatch(R"(a word, or {"type": "function", "function": {"name": ...}})");
  }
  call.tool_choice = ToolChoice::kRequired;
  call.required_tool = *name->as_string();
  return {};
}

Status read_tools(const Field& field, GenerationDraft& draft) {
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

Status read_template_variables(const Field& field, GenerationDraft& draft) {
  if (field.value.is_null()) return {};
  if (field.value.as_object() == nullptr) return field.mismatch("an object");
  draft.request.call.template_variables = std::make_shared<const JsonValue>(field.value);
  return {};
}

Status read_modalities(const Field& field, GenerationDraft&) {
  std::vector<std::string> kinds;
  SLUICE_RETURN_IF_ERROR(field.read_strings(&kinds));
  for (const std::string& kind : kinds) {
    if (kind != "text") return field.unsupported("only [\"text\"] is supported");
  }
  return {};
}

}  // namespace sluice
