// The first steps of every parser: a body is one JSON object, and a member may be missing.
#pragma once

#include <string_view>

#include "base/status.h"
#include "server/openai/field_reader.h"
#include "server/text/json_value.h"

namespace sluice {

Result<JsonValue> parse_object(std::string_view body);
// The member `name`, or `missing` where there is none. The values must outlive the field.
Field member(const JsonValue& body, const char* name, const JsonValue& missing);

}  // namespace sluice
