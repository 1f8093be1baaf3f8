// check_stop.
#include "engine/stop_check.h"

#include <algorithm>

namespace sluice {

FinishReason check_stop(const Sequence& sequence, int64_t max_model_len) {
  const Request& request = *sequence.request;
  const SamplingParams& params = request.sampling;
  const auto num_known = static_cast<int64_t>(sequence.tokens.size());
  const int64_t num_output = num_known - sequence.prompt_len();
  if (num_output > params.min_tokens) {
    const TokenId last = sequence.tokens.back();
    if (!params.ignore_eos && std::ranges::find(request.eos_ids, last) != request.eos_ids.end()) {
      return FinishReason::kStop;
    }
    if (std::ranges::find(params.stop_token_ids, last) != params.stop_token_ids.end()) {
      return FinishReason::kStop;
    }
  }
  const bool full = num_output >= params.max_tokens || num_known >= max_model_len;
  return full ? FinishReason::kLength : FinishReason::kNone;
}

}  // namespace sluice
