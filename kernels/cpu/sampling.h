// Backend::sample on host memory, a row at a time: sampling_batch.h is the specification.
#pragma once

#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/sampling_batch.h"

namespace sluice {

// Working memory of one thread.
struct SampleScratch {
  std::vector<float> edited;    // [vocab] logits after steps 2 to 4
  std::vector<float> weights;   // [vocab] exp((logit - max) / temperature)
  std::vector<int32_t> ids;     // survivors of min_p, top_k, top_p
  std::vector<float> survivor;  // their weights
};

// Fills row `row` of `out` from logits [vocab]; leaves the logits as they are. `pending`: the
// output token that the row's history lacks, -1: none.
void sample_row(const SampledTokens& out, const float* logits, int vocab,
                const SamplingBatch& batch, int row, TokenId pending, const KernelTable& kernels,
                SampleScratch& scratch);

}  // namespace sluice
