// SamplingParams::validate: one sentence for everything that can be wrong.
#include "engine/sampling_params.h"

#include <string_view>

#include "base/text.h"
#include "kernels/sampling_batch.h"

namespace sluice {
namespace {

// NaN is in no range.
template <typename T>
Status check_range(std::string_view field, T value, T low, T high) {
  if (value >= low && value <= high) return {};
  return invalid_argument(str(field, " is ", value, "; it must be between ", low, " and ", high),
                          std::string(field));
}

Status check_count(std::string_view field, size_t count, int limit) {
  if (count <= static_cast<size_t>(limit)) return {};
  return invalid_argument(str(field, " has ", count, " entries; at most ", limit, " are allowed"),
                          std::string(field));
}

Status check_id(std::string_view field, TokenId id, int vocab_size) {
  if (id >= 0 && id < vocab_size) return {};
  return invalid_argument(
      str(field, " holds the token id ", id, "; the model's ids are 0 to ", vocab_size - 1),
      std::string(field));
}

Status check_ids(std::string_view field, const std::vector<TokenId>& ids, int limit,
                 int vocab_size) {
  SLUICE_RETURN_IF_ERROR(check_count(field, ids.size(), limit));
  for (const TokenId id : ids) SLUICE_RETURN_IF_ERROR(check_id(field, id, vocab_size));
  return {};
}

Status check_numbers(const SamplingParams& params) {
  SLUICE_RETURN_IF_ERROR(check_range("temperature", params.temperature, 0.0F, 100.0F));
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return invalid_argument(
        str("top_p is ", params.top_p, "; it must be above 0 and at most 1 (1: all tokens)"),
        "top_p");
  }
  if (params.top_k < -1) {
    return invalid_argument(
        str("top_k is ", params.top_k, "; it must be at least 1, or 0 or -1 for all tokens"),
        "top_k");
  }
  SLUICE_RETURN_IF_ERROR(check_range("min_p", params.min_p, 0.0F, 1.0F));
  SLUICE_RETURN_IF_ERROR(
      check_range("repetition_penalty", params.repetition_penalty, 0.01F, 100.0F));
  SLUICE_RETURN_IF_ERROR(check_range("presence_penalty", params.presence_penalty, -2.0F, 2.0F));
  return check_range("frequency_penalty", params.frequency_penalty, -2.0F, 2.0F);
}

Status check_lengths(const SamplingParams& params) {
  SLUICE_RETURN_IF_ERROR(check_range("n", params.n, 1, kMaxChoices));
  if (params.max_tokens < (params.prompt_logprobs ? 0 : 1)) {
    return invalid_argument(str("max_tokens is ", params.max_tokens,
                                "; it must be at least 1, or 0 together with prompt logprobs"),
                            "max_tokens");
  }
  if (params.min_tokens < 0 || params.min_tokens > params.max_tokens) {
    return invalid_argument(
        str("min_tokens is ", params.min_tokens, "; it must be between 0 and max_tokens, which is ",
            params.max_tokens),
        "min_tokens");
  }
  return {};
}

Status check_logprobs(std::string_view field, bool enabled, int num_top) {
  SLUICE_RETURN_IF_ERROR(check_range(field, num_top, 0, kMaxTopLogprobs));
  if (enabled || num_top == 0) return {};
  return invalid_argument(str(field, " is ", num_top, " but no logprobs are asked for"),
                          std::string(field));
}

}  // namespace

Status SamplingParams::validate(int vocab_size) const {
  SLUICE_RETURN_IF_ERROR(check_lengths(*this));
  SLUICE_RETURN_IF_ERROR(check_numbers(*this));
  SLUICE_RETURN_IF_ERROR(check_ids("stop_token_ids", stop_token_ids, kMaxStopIds, vocab_size));
  SLUICE_RETURN_IF_ERROR(
      check_ids("allowed_token_ids", allowed_token_ids, kMaxListedIds, vocab_size));
  SLUICE_RETURN_IF_ERROR(
      check_ids("banned_token_ids", banned_token_ids, kMaxListedIds, vocab_size));
  SLUICE_RETURN_IF_ERROR(check_count("logit_bias", logit_bias.size(), kMaxListedIds));
  for (const auto& [id, bias] : logit_bias) {
    SLUICE_RETURN_IF_ERROR(check_id("logit_bias", id, vocab_size));
    SLUICE_RETURN_IF_ERROR(check_range("logit_bias", bias, -100.0F, 100.0F));
  }
  SLUICE_RETURN_IF_ERROR(check_logprobs("top_logprobs", logprobs, num_top_logprobs));
  return check_logprobs("prompt_logprobs", prompt_logprobs, num_prompt_top_logprobs);
}

}  // namespace sluice
