// Between proto messages and the Service's structs. Proto ends here; ranges and everything that
// depends on the model are the service's to check.
#pragma once

#include <sluice/v1/generation.pb.h>
#include <sluice/v1/inference.pb.h>

#include "base/status.h"
#include "server/service.h"

namespace sluice {

// `defaults` are the sampling parameters of a request that says nothing about them.
// kInvalidArgument where there is no prompt.
Result<GenerateCall> to_call(v1::GenerateRequest request, const SamplingParams& defaults);
Result<GenerateCall> to_call(v1::TokenizeRequest request);

// Adds `delta` as one of the message's choices. `stop_ids`: the ids that the client asked to stop
// at; an end that is none of them is the model's own and is not named.
void add_choice(const TextDelta& delta, const std::vector<TokenId>& stop_ids,
                v1::GenerateResponse* out);
// A prompt's first token, which has no score, is absent in `score`.
void add_prompt_logprob(TokenId id, const std::optional<TextLogprob>& score,
                        v1::GenerateResponse* out);
void set_usage(const Usage& usage, v1::Usage* out);
v1::Readiness to_proto(Readiness readiness);

}  // namespace sluice
