// JSON schemas of the fields of generation requests, for /openapi.json.
#pragma once

#include <string>
#include <string_view>

#include "server/openai/protocol.h"

namespace sluice {

// The schema of a field that the protocol's parser understands; empty for any other.
std::string_view field_schema(std::string_view field, Protocol protocol);
// The schema of a whole body: an object of every understood field.
std::string request_schema(Protocol protocol);

}  // namespace sluice
