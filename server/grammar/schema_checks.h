// Whether every word of a JSON schema would be enforced.
#pragma once

#include <string>

#include "base/status.h"
#include "server/text/json_value.h"

namespace sluice {

// kInvalidArgument names `field`, the place in the schema and the way out.
Status check_schema(const JsonValue& schema, const std::string& field);

}  // namespace sluice
