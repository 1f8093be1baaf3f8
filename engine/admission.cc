// check_admissible.
#include "engine/admission.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "base/text.h"

namespace sluice {
namespace {

Status check_ids(const char* field, const std::vector<TokenId>& ids, int vocab_size) {
  for (const TokenId id : ids) {
    if (id >= 0 && id < vocab_size) continue;
    return invalid_argument(
        str(field, " holds the token id ", id, "; the model's ids are 0 to ", vocab_size - 1),
        field);
  }
  return {};
}

Status check_length(int64_t prompt_len, int64_t max_tokens, const EngineConfig& config) {
  const int64_t limit = config.max_model_len;
  if (prompt_len >= limit && max_tokens > 0) {
    return invalid_argument(str("the prompt has ", prompt_len, " tokens and the model's limit is ",
                                limit, " for prompt and answer together; shorten the prompt"),
                            "prompt");
  }
  if (max_tokens > limit - prompt_len) {
    return invalid_argument(str("max_tokens is ", max_tokens, " and the prompt has ", prompt_len,
                                " tokens; the model's limit is ", limit,
                                " for both together, so ask for at most ", limit - prompt_len),
                            "max_tokens");
  }
  // The last token of the answer is never computed on.
  const int64_t needed = ceil_div(prompt_len + std::max<int64_t>(max_tokens, 1) - 1, kBlockTokens);
  if (needed > config.num_blocks) {
    return invalid_argument(
        str("prompt and answer may have ", prompt_len + max_tokens, " tokens; the KV cache holds ",
            int64_t{config.num_blocks} * kBlockTokens,
            " in all; ask for fewer or start the server with a larger KV cache"),
        "max_tokens");
  }
  return {};
}

// Some token must be left of those that the request allows.
Status check_choice_left(const Request& request, int vocab_size) {
  const SamplingParams& params = request.sampling;
  std::unordered_set<TokenId> banned(params.banned_token_ids.begin(),
                                     params.banned_token_ids.end());
  if (params.min_tokens > 0) {
    banned.insert(params.stop_token_ids.begin(), params.stop_token_ids.end());
    if (!params.ignore_eos) banned.insert(request.eos_ids.begin(), request.eos_ids.end());
  }
  const std::vector<TokenId>& allowed = params.allowed_token_ids;
  const bool left = allowed.empty() ? banned.size() < static_cast<size_t>(vocab_size)
                                    : std::any_of(
                                          allowed.begin(), allowed.end(),
                                          [&](TokenId id) { return !banned.contains(id); });
  if (left) return {};
  return invalid_argument(
      "no token is left to choose from: each one allowed is in banned_token_ids, or would end the "
      "answer before min_tokens",
      allowed.empty() ? "banned_token_ids" : "allowed_token_ids");
}

}  // namespace

Status check_admissible(const Request& request, const EngineConfig& config) {
  SLUICE_CHECK(!request.id.empty());
  SLUICE_CHECK(request.output != nullptr);
  if (request.prompt.empty()) {
    return invalid_argument("the prompt has no tokens; it must have at least one", "prompt");
  }
  SLUICE_RETURN_IF_ERROR(request.sampling.validate(config.vocab_size));
  SLUICE_RETURN_IF_ERROR(check_length(static_cast<int64_t>(request.prompt.size()),
                                      request.sampling.max_tokens, config));
  SLUICE_RETURN_IF_ERROR(check_ids("prompt", request.prompt, config.vocab_size));
  SLUICE_RETURN_IF_ERROR(check_ids("eos_ids", request.eos_ids, config.vocab_size));
  return check_choice_left(request, config.vocab_size);
}

}  // namespace sluice
