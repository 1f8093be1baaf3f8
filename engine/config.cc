// EngineConfig::validate.
#include "engine/config.h"

#include <cmath>
#include <string_view>

#include "base/text.h"

namespace sluice {
namespace {

Status at_least(std::string_view field, int64_t value, int64_t low) {
  if (value >= low) return {};
  return invalid_argument(str(field, " is ", value, "; it must be at least ", low),
                          std::string(field));
}

}  // namespace

Status EngineConfig::validate() const {
  SLUICE_RETURN_IF_ERROR(at_least("vocab_size", vocab_size, 1));
  SLUICE_RETURN_IF_ERROR(at_least("max_model_len", max_model_len, 2));
  SLUICE_RETURN_IF_ERROR(at_least("num_blocks", num_blocks, 1));
  SLUICE_RETURN_IF_ERROR(at_least("window", window, 0));
  SLUICE_RETURN_IF_ERROR(at_least("max_num_seqs", max_num_seqs, 1));
  SLUICE_RETURN_IF_ERROR(at_least("max_num_batched_tokens", max_num_batched_tokens, 1));
  SLUICE_RETURN_IF_ERROR(at_least("max_queued_requests", max_queued_requests, 1));
  SLUICE_RETURN_IF_ERROR(at_least("max_logprob_rows", max_logprob_rows, 1));
  SLUICE_RETURN_IF_ERROR(at_least("min_prefill_tokens", min_prefill_tokens, 1));
  SLUICE_RETURN_IF_ERROR(at_least("mask_threads", mask_threads, 0));
  SLUICE_RETURN_IF_ERROR(at_least("row_tile", row_tile, 1));
  if (!std::isfinite(decode_gap_ms) || decode_gap_ms <= 0) {
    return invalid_argument(str("decode_gap_ms is ", decode_gap_ms, "; it must be above 0"),
                            "decode_gap_ms");
  }
  return {};
}

}  // namespace sluice
