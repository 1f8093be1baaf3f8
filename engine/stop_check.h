// Why a choice ends after its newest token, if it does.
#pragma once

#include "engine/sequence.h"

namespace sluice {

// Looks at the last known token, in this order: nothing ends before min_tokens except by length; an
// end-of-sequence id (unless ignore_eos); a stop id; max_tokens; the model's length. Pending tokens
// do not count. O(stop ids).
FinishReason check_stop(const Sequence& sequence, int64_t max_model_len);

}  // namespace sluice
