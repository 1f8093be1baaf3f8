// The fields of a generation request, as tables: what each means, and which are refused.
#pragma once

#include <optional>

#include "base/status.h"
#include "server/openai/api_request.h"
#include "server/text/json_value.h"

namespace sluice {

// Reads all members of `body` but "messages" and "prompt" into *out, whose `chat` says which
// endpoint it is; then checks what concerns several fields.
Status read_generation_fields(const JsonValue& body, ApiRequest* out);

}  // namespace sluice
