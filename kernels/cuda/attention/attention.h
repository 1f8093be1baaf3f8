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

#include "kernels/backend.h"
#include "kernels/ragged_batch.h"
#include "kernels/tensor.h"

namespace sluice::cuda {

// One block of threads' work. `partial` is the slot of its f32 result, -1 where it writes the
// output itself. With run lists a block is 64 slots of the list (run_reader.cuh) in place of 64
// keys of the sequence.
struct alignas(16) AttendItem {
  int32_t seq = 0;
  int32_t kv_head = 0;
  int32_t row_begin = 0;  // packed rows [row_begin, row_begin + rows)
  int32_t rows = 0;
  int32_t block_begin = 0;  // the sequence's blocks [block_begin, block_end)
  int32_t block_end = 0;
  int32_t partial = -1;
  int32_t list = -1;  // of the step's run lists
};

// Keys [begin, end) of a sequence.
struct alignas(8) KeyRange {
  int32_t begin = 0;
  int32_t end = 0;
};

// A row tile whose partials [partial_begin, partial_begin + num_partials) make the output.
struct alignas(16) MergeItem {
  int32_t seq = 0;
  int32_t kv_head = 0;
  int32_t row_begin = 0;
  int32_t rows = 0;
  int32_t partial_begin = 0;
  int32_t num_partials = 0;
  int32_t slots = 1;  // slots of one partial: ceil(rows of its kind of item / kDecodeRows)
  int32_t reserved = 0;
};

inline constexpr int kDecodeRows = 16;    // packed rows of a decode item: one tensor-core tile
inline constexpr int kPrefillRows = 128;  // packed rows of a prefill item: two warpgroups
inline constexpr int kSplitBlocks = 8;    // a split is at least this long: 512 keys
// Prefill items that run together should find each other's K and V in the cache: KV heads of longer
// sequences come one after the other. 32 MB at head_dim 128.
inline constexpr int kCachedKeys = 65536;

// A tile of `blocks` blocks becomes this many items of about `limit`: whole ones and a rest, or
// whole ones a little longer where the rest would be small. blocks * pieces < 2^31.
constexpr int num_pieces(int blocks, int limit) {
  const int whole = blocks / limit, rest = blocks % limit;
  if (whole == 0) return 1;
  return rest <= limit / 8 ? whole : whole + 1;
}
constexpr int piece_begin(int blocks, int limit, int pieces, int i) {
  if (pieces * limit < blocks) return blocks * i / pieces;
  return i * limit < blocks ? i * limit : blocks;
}

// The items of a step, longest first. Pure host data; the same for every layer.
struct AttentionPlan {
  std::vector<AttendItem> decode;
  std::vector<AttendItem> prefill;
  std::vector<MergeItem> merge;
  int max_merge_rows = 0;  // of one merge item, or of one row tile of run lists
  int num_partials = 0;    // partials hold kDecodeRows rows for decode items, kPrefillRows for
                           // prefill ones: slots are counted in units of kDecodeRows rows
  std::vector<KeyRange> list_keys;  // with run lists: the keys that any row of each list sees

  // Sequences with at most kDecodeRows packed rows decode, others prefill. Blocks that no row of a
  // tile has in its window (0: none) are in no item. Keys are split so that about `num_workers`
  // equal items exist; never more than max_partials slots.
  void build(const RaggedBatch& batch, int num_kv_heads, int group, int window, int num_workers,
             int max_partials);
  // For run lists: the row tiles alone, the longest (if all were kept) first; list_plan.cu divides
  // them by what the lists hold.
  void build_row_tiles(const RaggedBatch& batch, int num_kv_heads, int group, int window,
                       int num_workers);

 private:
  void clear(int group);
};

// What launch_plan_lists counts. `tickets` is zero between launches.
struct ListCounts {
  int32_t decode_items = 0;
  int32_t prefill_items = 0;
  int32_t merge_items = 0;
  uint32_t tickets = 0;
};

// Places of a run list whose slot is remembered, evenly over its groups of 32 runs.
inline constexpr int kCheckpoints = 32;

// A step's division by the lists of one layer, in device memory: written by launch_plan_lists.
struct ListPlan {
  int num_decode_tiles = 0;  // tiles: decode row tiles, then prefill row tiles
  int num_prefill_tiles = 0;
  int num_lists = 0;
  int num_workers = 0;
  const AttendItem* tiles = nullptr;    // [num_tiles()]
  const KeyRange* list_keys = nullptr;  // [num_lists]
  int32_t* list_blocks = nullptr;       // [num_lists]: ceil(slots / 64)
  int32_t* checkpoints = nullptr;       // [num_lists][kCheckpoints]
  AttendItem* items = nullptr;          // [max_items()], those of decode first
  MergeItem* merge = nullptr;           // [num_workers]
  ListCounts* counts = nullptr;

  constexpr int num_tiles() const { return num_decode_tiles + num_prefill_tiles; }
  // Items are total / num_workers blocks long, or longer, or the last of their tile.
  constexpr int max_items() const { return num_tiles() + num_workers; }
};

inline constexpr int kNoWindow = 1 << 30;  // longer than any sequence

// What every attention kernel is given. Partials: [slots][16 rows][head_dim] f32 unnormalised sums,
// and [slots][16 rows] maxima (scaled, base 2) and sums.
struct AttendParams {
  const void* q = nullptr;
  int64_t q_stride = 0;  // elements between tokens
  void* out = nullptr;
  int64_t out_stride = 0;
  int group = 1;  // query heads a KV head
  int num_processors = 1;
  float scale_log2 = 0;        // scale * log2(e)
  int window = kNoWindow;      // a row that sees keys before `limit` sees those from limit - window
  float raw_cap = 0;           // soft cap of q . k, not yet scaled; 0: none
  float raw_cap_exponent = 0;  // 2 log2(e) / raw_cap
  RaggedBatchView batch;
  KvCacheView kv;
  float* partial_sums = nullptr;
  float* partial_max = nullptr;
  float* partial_total = nullptr;
  KvRunsView runs;  // with run lists: those and their plan
  ListPlan lists;
};

// decode.cu, prefill.cu: bf16, head_dim 64 or 128.
void launch_decode(const AttendParams& params, const AttendItem* items, int num_items,
                   cudaStream_t stream);
void launch_prefill(const AttendParams& params, const AttendItem* items, int num_items,
                    cudaStream_t stream);
// max_rows: of the largest merge item.
void launch_merge(const AttendParams& params, const MergeItem* items, int num_items, int max_rows,
                  cudaStream_t stream);
// The same over params.runs, as params.lists divides them.
void launch_plan_lists(const KvRunsView& runs, const ListPlan& plan, cudaStream_t stream);
void launch_decode_lists(const AttendParams& params, cudaStream_t stream);
void launch_prefill_lists(const AttendParams& params, cudaStream_t stream);
void launch_merge_lists(const AttendParams& params, int max_rows, cudaStream_t stream);
// portable.cu: bf16, head_dim 64, 96, 128 or 256, any card; without lists and with them.
void launch_portable(const AttendParams& params, const AttendItem* decode_items, int num_decode,
                     const AttendItem* prefill_items, int num_prefill, cudaStream_t stream);
void launch_portable_lists(const AttendParams& params, cudaStream_t stream);
// plain.cu: any dtype, any alignment, one warp a row: the fallback that is easy to believe.
void launch_attend_plain(TensorView out, TensorView q, int num_q_heads,
                         const AttendOptions& options, const RaggedBatchView& batch,
                         const KvCacheView& kv, const KvRunsView* runs, cudaStream_t stream);

}  // namespace sluice::cuda
