// Tools, their calls and their answers as /v1/responses and /v1/messages write them, in chats'
// words.
#pragma once

#include "base/status.h"
#include "server/openai/field_reader.h"
#include "server/openai/generation_draft.h"
#include "server/text/json_value.h"

namespace sluice {

// {"type": "function", "name": ..., "parameters": ...}, ...
Status read_responses_tools(const Field& field, GenerationDraft& draft);
// A word, or {"type": "function", "name": ...}.
Status read_responses_tool_choice(const Field& field, GenerationDraft& draft);
// {"name": ..., "input_schema": ...}, ...
Status read_messages_tools(const Field& field, GenerationDraft& draft);
// {"type": "auto" | "any" | "tool" | "none", "name"?, "disable_parallel_tool_use"?}
Status read_messages_tool_choice(const Field& field, GenerationDraft& draft);

// An item of a response's input as a chat's message: messages as they are, function_call as a turn
// of the assistant, function_call_output as one of the tool. Null for an item of reasoning, which
// no template wants back.
Result<JsonValue> chat_message_of_item(const Field& item);
// A turn of Anthropic's, likewise: the answers of tools in it, each a message, and then the rest.
Result<JsonValue::Array> chat_messages_of_turn(const Field& turn);

}  // namespace sluice
