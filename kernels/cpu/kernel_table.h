// KernelTable: the CPU's inner loops, compiled once per instruction set (isa/) and chosen at run
// time. Plain structs and function pointers only: the sources behind them are built with flags that
// other machines cannot run, so no inline function with a shared name may be emitted there. (The
// idea of one source compiled per ISA is CTranslate2's.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "kernels/ragged_batch.h"

namespace sluice {

// A panel is the one shape in which matrices are multiplied here: 64 columns (outputs of a weight,
// keys of a K tile, features of a V tile) over K steps, one 4-byte word per column and step:
//
//   step 0: | col 0 | col 1 | ... | col 63 |      f32: the word is w[k, col]
//   step 1: | col 0 | col 1 | ... | col 63 |      bf16: the word is the pair (w[2s, col] low,
//   ...                                                 w[2s + 1, col] high)
//
// Columns lie in vector lanes and a step broadcasts one word of x, so no sum is ever horizontal,
// and each result is one sum over the steps in order whatever the number of rows: batch invariance.
inline constexpr int kPanelColumns = 64;

// Columns of the panel of a V tile that begins with feature `first` (kv_tile.h).
constexpr int panel_width(int first, int head_dim) {
  return head_dim - first < kPanelColumns ? head_dim - first : kPanelColumns;
}

constexpr int64_t panel_steps(int64_t k, DType dtype) {
  return dtype == DType::kF32 ? k : ceil_div(k, 2);
}

// Keys of one segment: a row's softmax runs segment by segment and merges them in order, so that
// segments may run on different threads without changing a bit.
inline constexpr int kSegmentKeys = 1024;

// How a product is computed: the element type of its panels, and what the rows that meet them are
// rounded to.
struct ProductTypes {
  DType panel = DType::kBF16;
  // kBF16: rounded once; kF32: 16 bits of mantissa or more. Panels of f32 take f32 rows always.
  DType rows = DType::kF32;
};

// Rows of f32 or bf16 elements, `stride` elements apart.
struct Rows {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t stride = 0;
  int64_t cols = 0;
};

// out[t, n] = sum_k x[t, k] w[n, k] for t < rows. x lies as pack_x left it.
struct GemmArgs {
  const std::byte* x = nullptr;      // [rows][steps], x_row_bytes apart
  const uint32_t* panels = nullptr;  // [ceil(n / 64)][steps][64]
  ProductTypes types;
  int64_t rows = 0;
  int64_t steps = 0;
  int64_t n = 0;
  Rows out;
};

// KV heads of one AttendTask at most.
inline constexpr int kTaskHeadsMax = 16;

// The queries of `tokens` consecutive rows of a sequence for the query heads of `kv_heads`
// neighbouring KV heads, `group` each, against keys [key_begin, key_end). A "row" below is (KV
// head, token, query head), in that order.
struct AttendTask {
  Rows q, out;  // at the first token and the first KV head's first query head
  int tokens = 0;
  int kv_heads = 1;
  int group = 0;
  int head_dim = 0;
  float scale = 1;
  float soft_cap = 0;  // 0: none
  int window = 0;      // 0: none
  // Of the first token; it sees keys [first_visible(first_position, window), first_position].
  int first_position = 0;
  int key_begin = 0;  // a multiple of kSegmentKeys
  int key_end = 0;
  const BlockId* blocks = nullptr;  // of the sequence
  const std::byte* k = nullptr;     // tile of the first KV head in block 0; the next head's lies
  const std::byte* v = nullptr;     // tile_bytes on, the next block's block_bytes
  int64_t block_bytes = 0;
  int64_t tile_bytes = 0;
  ProductTypes types;                   // of both products: the panels are the tiles of K and V
  const int32_t* run_indptr = nullptr;  // null: every key; else the runs of KV head h are
  const KvRun* runs = nullptr;          // runs[run_indptr[h]] ... runs[run_indptr[h + 1] - 1]

  int64_t rows() const { return int64_t{kv_heads} * tokens * group; }
};

// A row's softmax under way, as floats: [head_dim] weighted values, [kSumLanes] partial sums of p,
// [1] maximum of the scaled logits (base 2), padding.
inline constexpr int kSumLanes = 16;
constexpr int64_t attend_state_floats(int head_dim) { return head_dim + 2 * kSumLanes; }

// Working memory of a task of `rows` rows: packed queries, a tile's p, a cleaned V tile.
constexpr size_t attend_scratch_bytes(int64_t rows, int head_dim) {
  return static_cast<size_t>(rows * (head_dim + kBlockTokens) + int64_t{kBlockTokens} * head_dim) *
         sizeof(float);
}

// log-sum-exp parts of one logit row; `sum` is NaN where a logit is NaN or +inf.
struct LogitStats {
  float max = 0;   // -inf when every logit is -inf or NaN
  float sum = 0;   // of exp(x - max)
  int argmax = 0;  // lowest index of max
};

struct KernelTable {
  const char* name;
  bool (*runs_here)();  // whether this processor has the instructions

  // x [rows, cols] as a gemm of `types` reads it: steps words or pairs a row.
  size_t (*x_row_bytes)(ProductTypes types, int64_t steps);
  void (*pack_x)(std::byte* to, const Rows& x, int64_t rows, ProductTypes types, int64_t steps);
  // Panels [first, last) of the result. Panels may run on different threads.
  void (*gemm)(const GemmArgs& args, int64_t first, int64_t last);

  void (*rms_norm)(const Rows& out, const Rows& x, const float* weight, float eps, int64_t rows);
  void (*add_rms_norm)(const Rows& out, const Rows& residual, const Rows& delta,
                       const float* weight, float eps, int64_t rows);
  void (*silu_mul)(const Rows& out, const Rows& gate_up, int64_t rows);
  void (*gelu_mul)(const Rows& out, const Rows& gate_up, int64_t rows);
  // delta.stride 0: one row for all.
  void (*add)(const Rows& x, const Rows& delta, int64_t rows);
  void (*scale)(const Rows& x, float factor, int64_t rows);
  void (*soft_cap)(const Rows& x, float cap, int64_t rows);
  // Rotates `heads` heads of head_dim at `row` in place; cos, sin [head_dim / 2].
  void (*rope)(void* row, DType dtype, int heads, int head_dim, const float* cos, const float* sin);

  // Runs the task's keys into fresh `state` [rows][attend_state_floats], 64-byte aligned,
  // as is `scratch`.
  void (*attend)(const AttendTask& task, float* state, std::byte* scratch);
  // total <- total and then segment, both states of the same rows.
  void (*attend_merge)(float* total, const float* segment, int64_t rows, int head_dim);
  // Writes the task's out rows from finished states; rows that saw no key get zeros.
  void (*attend_finish)(const AttendTask& task, const float* state);

  LogitStats (*logit_stats)(const float* x, int64_t n);
  // w[i] = exp((x[i] - max) * inv_temperature); returns their sum.
  float (*softmax_weights)(float* w, const float* x, int64_t n, float max, float inv_temperature);
  // Writes the i with w[i] >= bound to `ids`, ascending; bound > 0. `ids` has room for n.
  int64_t (*at_least)(int32_t* ids, const float* w, int64_t n, float bound);
  // The i of largest w[i] / e(ids[i]) with w[i] > 0, by lowest id among equals; e as in
  // sampling_batch.h. ids null: ids[i] = i. -1 when no weight is positive.
  int64_t (*race)(const float* w, const int32_t* ids, int64_t n, uint64_t seed, int64_t draw);
  int64_t (*count_above)(const float* x, int64_t n, float bound);
  void (*exp)(float* out, const float* x, int64_t n);
};

}  // namespace sluice
