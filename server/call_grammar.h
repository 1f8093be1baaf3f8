// The form that a chat's answer must have so that it makes the calls which a request forces, or so
// that calls of strict tools fit their schemas, in the words of the model's own format.
#pragma once

#include <optional>

#include "base/status.h"
#include "server/grammar/grammar_spec.h"
#include "server/service.h"
#include "server/text/answer/answer_format.h"

namespace sluice {

// Of a call that check_tools() has passed. `reasoning_opened`: by the prompt; what comes before the
// reasoning's end is free. Nothing: the answer is free. kUnimplemented names the field that the
// model's format cannot honour, and the way out; kInvalidArgument the schema that cannot be
// enforced.
Result<std::optional<GrammarSpec>> call_grammar(const GenerateCall& call,
                                                const AnswerFormat& format, bool reasoning_opened);

}  // namespace sluice
