// The tools that a call offers: checked, and by name.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/service.h"
#include "server/text/json_value.h"

namespace sluice {

inline constexpr size_t kMaxToolNameBytes = 128;

// Whether `call.tools` is a list of up to `max_tools` functions with names of their own, made of
// letters, digits, '_', '-' and '.', and whether tool_choice asks for one that is there.
// kInvalidArgument names the field.
Status check_tools(const GenerateCall& call, size_t max_tools);

// Of a list that check_tools() has passed.
std::vector<std::string> tool_names(const JsonValue& tools);

}  // namespace sluice
