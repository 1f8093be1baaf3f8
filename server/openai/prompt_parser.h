// The prompts of a request: chat messages, or text and token ids in OpenAI's four forms.
#pragma once

#include <vector>

#include "base/status.h"
#include "server/openai/api_request.h"
#include "server/openai/field_reader.h"

namespace sluice {

// An array of {"role", "content", "name"?}. Content is a string or a list of text parts, which are
// joined by a line break, as in vLLM.
Status parse_messages(const Field& field, std::vector<ChatMessage>* out);
// One of them.
Status parse_message(const Field& field, ChatMessage* out);
// Content alone.
Status parse_content(const Field& field, std::string* out);
// A string, an array of ids, or an array of up to `max_prompts` of either.
Status parse_prompts(const Field& field, int max_prompts, std::vector<Prompt>* out);

}  // namespace sluice
