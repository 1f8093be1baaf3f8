// What the engine refuses before it queues a request.
#pragma once

#include "engine/config.h"
#include "engine/request.h"

namespace sluice {

// kInvalidArgument, with the numbers, for what no step could ever serve: an empty prompt, ids
// outside the vocabulary, parameters out of range, a prompt and answer longer than the model or the
// whole KV cache. Pure. CHECKs id and output.
Status check_admissible(const Request& request, const EngineConfig& config);

}  // namespace sluice
