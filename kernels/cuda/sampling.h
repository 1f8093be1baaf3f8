// Sampling on the device: SamplingBatch's arrays as device pointers, and the kernel that reads
// them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/sampling_batch.h"
#include "kernels/tensor.h"

namespace sluice::cuda {

// Shapes and meaning as in kernels/sampling_batch.h.
struct SamplingView {
  const float *temperature, *top_p, *min_p;
  const float *repetition_penalty, *presence_penalty, *frequency_penalty;
  const int32_t* top_k;
  const uint64_t* seed;
  const int64_t* draw;
  const TokenId* target;
  const int32_t* num_top;
  const int32_t* pending;
  const int32_t *history_indptr, *history_ids, *history_counts;
  const int32_t *bias_indptr, *bias_ids;
  const float* bias_values;
  const int32_t *allowed_indptr, *allowed_ids;
  const int32_t *banned_indptr, *banned_ids;
  const int32_t* mask_row;  // [rows] its mask among `masks`, -1: none; null: no row has one
  const uint32_t* masks;    // [masks, mask_words(vocab)]
  const TokenId* sampled;   // by the step before
};

// A cluster of blocks a row (one block where the card has no `clusters`), as many rows in one
// launch as `scratch` has. `out` is pinned host memory, `next` (null: none) its ids in device
// memory; the logits stay as they are.
void launch_sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView scratch,
                   const SamplingView& batch, bool clusters, cudaStream_t stream);

}  // namespace sluice::cuda
