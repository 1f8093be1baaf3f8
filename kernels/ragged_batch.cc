// RaggedBatch: its check and the view of it.
#include "kernels/ragged_batch.h"

#include "base/check.h"

namespace sluice {

void RaggedBatch::clear() {
  for (auto* list :
       {&token_ids, &positions, &q_indptr, &kv_lens, &block_indptr, &blocks, &logit_rows}) {
    list->clear();
  }
}

void RaggedBatch::validate(int num_blocks, int vocab_size, int num_sampled) const {
  SLUICE_CHECK_EQ(positions.size(), token_ids.size());
  SLUICE_CHECK_EQ(q_indptr.size(), kv_lens.size() + 1);
  SLUICE_CHECK_EQ(block_indptr.size(), kv_lens.size() + 1);
  SLUICE_CHECK_EQ(q_indptr.front(), 0);
  SLUICE_CHECK_EQ(q_indptr.back(), num_tokens());
  SLUICE_CHECK_EQ(block_indptr.front(), 0);
  SLUICE_CHECK_EQ(block_indptr.back(), static_cast<int32_t>(blocks.size()));
  for (int s = 0; s < num_seqs(); ++s) {
    const int q_len = q_indptr[s + 1] - q_indptr[s];
    SLUICE_CHECK_GT(q_len, 0);
    SLUICE_CHECK_GE(kv_lens[s], q_len);
    const int held = block_indptr[s + 1] - block_indptr[s];
    SLUICE_CHECK_GE(int64_t{held} * kBlockTokens, kv_lens[s]);
    for (int t = 0; t < q_len; ++t)
      SLUICE_CHECK_EQ(positions[q_indptr[s] + t], kv_lens[s] - q_len + t);
  }
  for (const BlockId block : blocks) SLUICE_CHECK(block >= 0 && block < num_blocks);
  for (const TokenId id : token_ids)
    SLUICE_CHECK(id < vocab_size && pending_index(id) < num_sampled);
  for (size_t i = 0; i < logit_rows.size(); ++i) {
    SLUICE_CHECK(logit_rows[i] >= 0 && logit_rows[i] < num_tokens());
    if (i > 0) SLUICE_CHECK_LT(logit_rows[i - 1], logit_rows[i]);
  }
}

RaggedBatchView RaggedBatchView::of(const RaggedBatch& batch) {
  return {.num_tokens = batch.num_tokens(),
          .num_seqs = batch.num_seqs(),
          .token_ids = batch.token_ids.data(),
          .positions = batch.positions.data(),
          .q_indptr = batch.q_indptr.data(),
          .kv_lens = batch.kv_lens.data(),
          .block_indptr = batch.block_indptr.data(),
          .blocks = batch.blocks.data(),
          .num_logit_rows = static_cast<int>(batch.logit_rows.size()),
          .logit_rows = batch.logit_rows.data(),
          .host = &batch};
}

}  // namespace sluice
