// The evaluator: a parsed template and its variables to marked text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/text/jinja/ast.h"
#include "server/text/jinja/value.h"

namespace sluice::jinja {

// Bounds of one rendering.
inline constexpr int64_t kMaxSteps = 1'000'000;                    // expressions and statements run
inline constexpr size_t kMaxOutputBytes = size_t{16} << 20;        // of the result
inline constexpr size_t kMaxIntermediateBytes = size_t{64} << 20;  // of all texts made on the way

using Variables = std::vector<std::pair<std::string, Value>>;

// A failure names the line: raise_exception, an operation on values that do not have it, a bound.
Result<MarkedText> render(const Template& compiled, const Variables& variables);

}  // namespace sluice::jinja
