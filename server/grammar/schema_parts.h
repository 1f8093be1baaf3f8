// What of a JSON schema several checks ask.
#pragma once

#include <string_view>
#include <vector>

#include "server/text/json_value.h"

namespace sluice {

// The names in "type", one or several; none without it.
std::vector<std::string_view> types_of(const JsonValue& schema);

// What "#/$defs/NAME" or "#/definitions/NAME" of the schema `root` names; null: nothing.
const JsonValue* resolve_ref(const JsonValue& root, std::string_view path);

// Whether it is plain that no value fits two of `schemas`, so that one of them is any of them: by
// types, by constant texts, or by a required property with constant texts.
bool exclude_each_other(const JsonValue::Array& schemas, const JsonValue& root);

}  // namespace sluice
