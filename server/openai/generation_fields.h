// The fields of a generation request, as tables: what each means, and which are refused.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/openai/api_request.h"
#include "server/text/json_value.h"

namespace sluice {

// Reads all members of `body` but "messages" and "prompt" into *out, whose `chat` says which
// endpoint it is; then checks what concerns several fields.
Status read_generation_fields(const JsonValue& body, ApiRequest* out);

// The fields that a protocol's bodies may have, in the table's order; others are refused or
// ignored.
std::vector<std::string_view> understood_fields(Protocol protocol);

}  // namespace sluice
