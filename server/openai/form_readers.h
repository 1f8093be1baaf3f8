// Readers of the fields that say which form an answer must have: OpenAI's and vLLM's.
#pragma once

#include "base/status.h"
#include "server/openai/field_reader.h"
#include "server/openai/generation_draft.h"

namespace sluice {

// {"type": "text" | "json_object"}, or json_schema with the schema inside `json_schema`, or, as the
// responses API has it, beside the type.
Status read_response_format(const Field& field, GenerationDraft& draft);
// An object with one of json, regex, choice, grammar and json_object.
Status read_structured_outputs(const Field& field, GenerationDraft& draft);
// guided_json, guided_regex, guided_choice, guided_grammar and guided_json_object.
Status read_guided(const Field& field, GenerationDraft& draft);

}  // namespace sluice
