// Attention of one step on the device: what is planned on the host, and the kernels that read the
// plan.
//
// Query heads that share a KV head are packed as rows: packed row r of (sequence, KV head) is token
// r / G, query head g * G + r % G, G = num_q_heads / kv_heads. A work item is a tile of packed rows
// against a range of the sequence's blocks. A row tile whose keys are split writes f32 partials,
// merged afterwards in the order of the keys: results do not depend on which block ran first.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "kernels/ragged_batch.h"
#include "kernels/tensor.h"

namespace sluice::cuda {

// One block of threads' work. `partial` is the slot of its f32 result, -1 where it writes the
// output itself.
struct AttendItem {
  int32_t seq = 0;
  int32_t kv_head = 0;
  int32_t row_begin = 0;  // packed rows [row_begin, row_begin + rows)
  int32_t rows = 0;
  int32_t block_begin = 0;  // the sequence's blocks [block_begin, block_end)
  int32_t block_end = 0;
  int32_t partial = -1;
  int32_t reserved = 0;  // 32 bytes: two 16-byte loads
};

// A row tile whose partials [partial_begin, partial_begin + num_partials) make the output.
struct MergeItem {
  int32_t seq = 0;
  int32_t kv_head = 0;
  int32_t row_begin = 0;
  int32_t rows = 0;
  int32_t partial_begin = 0;
  int32_t num_partials = 0;
  int32_t slots = 1;  // slots of one partial: ceil(rows of its kind of item / kDecodeRows)
};

inline constexpr int kDecodeRows = 16;    // packed rows of a decode item: one tensor-core tile
inline constexpr int kPrefillRows = 128;  // packed rows of a prefill item: two warpgroups
inline constexpr int kSplitBlocks = 8;    // a split is at least this long: 512 keys

// The items of a step, longest first. Pure host data; the same for every layer.
struct AttentionPlan {
  std::vector<AttendItem> decode;
  std::vector<AttendItem> prefill;
  std::vector<MergeItem> merge;
  int max_merge_rows = 0;  // of one merge item
  int num_partials = 0;    // partials hold kDecodeRows rows for decode items, kPrefillRows for
                           // prefill ones: slots are counted in units of kDecodeRows rows

  // Sequences with at most kDecodeRows packed rows decode, others prefill. Keys are split so that
  // about `num_workers` equal items exist; never more than max_partials slots.
  void build(const RaggedBatch& batch, int num_kv_heads, int group, int num_workers,
             int max_partials);
};

// What every attention kernel is given. Partials: [slots][16 rows][head_dim] f32 unnormalised sums,
// and [slots][16 rows] maxima (scaled, base 2) and sums.
struct AttendParams {
  const void* q = nullptr;
  int64_t q_stride = 0;  // elements between tokens
  void* out = nullptr;
  int64_t out_stride = 0;
  int group = 1;         // query heads a KV head
  float scale_log2 = 0;  // scale * log2(e)
  RaggedBatchView batch;
  KvCacheView kv;
  float* partial_sums = nullptr;
  float* partial_max = nullptr;
  float* partial_total = nullptr;
};

// decode.cu, prefill.cu: bf16, head_dim 64 or 128.
void launch_decode(const AttendParams& params, const AttendItem* items, int num_items,
                   cudaStream_t stream);
void launch_prefill(const AttendParams& params, const AttendItem* items, int num_items,
                    cudaStream_t stream);
// max_rows: of the largest merge item.
void launch_merge(const AttendParams& params, const MergeItem* items, int num_items, int max_rows,
                  cudaStream_t stream);
// plain.cu: any dtype, any run list, one warp a row: the fallback that is easy to believe.
void launch_attend_plain(TensorView out, TensorView q, int num_q_heads, float scale,
                         const RaggedBatchView& batch, const KvCacheView& kv,
                         const KvRunsView* runs, cudaStream_t stream);

}  // namespace sluice::cuda
