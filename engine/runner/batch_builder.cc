// Laying a plan out as CSR.
#include "engine/runner/batch_builder.h"

#include "base/check.h"

namespace sluice {
namespace {

void add_entry(const StepEntry& entry, const SampledRows& sampled, RaggedBatch& batch) {
  const Sequence& sequence = *entry.sequence;
  const int64_t last = entry.first + entry.num_new;  // one past the chunk
  const int64_t known = last - (entry.last_is_pending ? 1 : 0);
  SLUICE_CHECK_GT(entry.num_new, 0);
  SLUICE_CHECK_LE(known, static_cast<int64_t>(sequence.tokens.size()));
  SLUICE_CHECK_LE(last, sequence.table.capacity_tokens());

  const int first_row = batch.num_tokens();
  batch.token_ids.insert(batch.token_ids.end(), sequence.tokens.begin() + entry.first,
                         sequence.tokens.begin() + known);
  if (entry.last_is_pending) {
    const auto row = sampled.find(&sequence);
    SLUICE_CHECK(row != sampled.end());
    batch.token_ids.push_back(pending_token(row->second));
  }
  for (int64_t position = entry.first; position < last; ++position)
    batch.positions.push_back(static_cast<int32_t>(position));
  batch.q_indptr.push_back(batch.num_tokens());
  batch.kv_lens.push_back(static_cast<int32_t>(last));

  // Any block stands for those that were dropped: no row sees their keys.
  const auto dropped = static_cast<size_t>(sequence.table.num_dropped);
  const auto blocks = sequence.table.blocks.begin();
  batch.blocks.insert(batch.blocks.end(), dropped, blocks[static_cast<ptrdiff_t>(dropped)]);
  batch.blocks.insert(batch.blocks.end(), blocks + static_cast<ptrdiff_t>(dropped),
                      blocks + ceil_div(last, kBlockTokens));
  batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));

  for (int64_t i = entry.score_first; i < entry.score_last; ++i)
    batch.logit_rows.push_back(first_row + static_cast<int32_t>(i - entry.first));
  if (entry.samples) batch.logit_rows.push_back(batch.num_tokens() - 1);
}

}  // namespace

void build_batch(const StepPlan& plan, const SampledRows& sampled, RaggedBatch& batch) {
  batch.clear();
  batch.q_indptr.push_back(0);
  batch.block_indptr.push_back(0);
  for (const StepEntry& entry : plan.entries) add_entry(entry, sampled, batch);
}

}  // namespace sluice
