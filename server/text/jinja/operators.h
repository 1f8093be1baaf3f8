// Operators on values, as Python's.
#pragma once

#include <string_view>

#include "server/text/jinja/runtime.h"

namespace sluice::jinja {

// a + b, and - * / // % ** ~.
Value binary(Runtime& runtime, std::string_view operation, const Value& a, const Value& b);
// a == b, and != < <= > >= in "not in".
bool relates(Runtime& runtime, std::string_view operation, const Value& a, const Value& b);
Value negated(Runtime& runtime, const Value& value);
// value[from:to:step] of a list or text; undefined or none: left out.
Value slice(Runtime& runtime, const Value& value, const Value& from, const Value& to,
            const Value& step);

}  // namespace sluice::jinja
