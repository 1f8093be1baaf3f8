// The evaluator: a parsed template and its variables to marked text.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/text/jinja/ast.h"
#include "server/text/jinja/runtime.h"
#include "server/text/jinja/value.h"

namespace sluice::jinja {

using Variables = std::vector<std::pair<std::string, Value>>;

// A failure names the line: raise_exception, an operation on values that do not have it, a bound.
// `now` is what strftime_now() tells.
Result<MarkedText> render(const Template& compiled, const Variables& variables,
                          std::chrono::system_clock::time_point now);

}  // namespace sluice::jinja
