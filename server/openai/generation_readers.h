// Readers of the fields that are more than one plain value. All refuse with the field's name.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "server/openai/field_reader.h"
#include "server/openai/generation_draft.h"

namespace sluice {

template <typename T>
Status read_optional(const Field& field, std::optional<T>* out) {
  if (field.value.is_null()) return {};
  return field.read(&out->emplace());
}

// 0 ... kMaxTopLogprobs.
Status read_logprob_count(const Field& field, std::optional<int32_t>* out);
// The choice of an attention mode or KV kind by name, alone or as {"mode": name}.
Status read_only_mode(const Field& field, std::string_view only);

Status read_seed(const Field& field, GenerationDraft& draft);
Status read_logit_bias(const Field& field, GenerationDraft& draft);
Status read_stream_options(const Field& field, GenerationDraft& draft);
Status read_include(const Field& field, GenerationDraft& draft);
Status read_text_config(const Field& field, GenerationDraft& draft);
Status read_output_config(const Field& field, GenerationDraft& draft);
Status read_truncation(const Field& field, GenerationDraft& draft);
Status read_store(const Field& field, GenerationDraft& draft);
Status read_previous_response(const Field& field, GenerationDraft& draft);
Status read_thinking(const Field& field, GenerationDraft& draft);
Status read_tool_choice(const Field& field, GenerationDraft& draft);
Status read_tools(const Field& field, GenerationDraft& draft);
Status read_template_variables(const Field& field, GenerationDraft& draft);
Status read_modalities(const Field& field, GenerationDraft& draft);

}  // namespace sluice
