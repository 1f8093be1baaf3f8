// Plans, uploads and launches: the host's side of attention.
#include "kernels/cuda/attention/attention_op.h"

namespace sluice::cuda {
namespace {

constexpr int kBlocksAnSm = 2;  // of decode attention
// Slots of 16 rows for the partials of each worker: a plan splits tiles into fewer than two items a
// worker.
constexpr int kPartialsAWorker = 2 * kPrefillRows / kDecodeRows;

// Whether rows can be read 16 bytes at a time.
bool is_aligned(const TensorView& x) {
  return x.row_stride % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

}  // namespace

bool PlannedBatch::replace(const RaggedBatch& batch, int heads, int heads_a_group, int keys) {
  if (q_indptr == batch.q_indptr && kv_lens == batch.kv_lens && num_kv_heads == heads &&
      group == heads_a_group && window == keys) {
    return false;
  }
  *this = {batch.q_indptr, batch.kv_lens, heads, heads_a_group, keys};
  return true;
}

AttentionOp::AttentionOp(Backend& backend, Fences& fences, cudaStream_t stream, int num_processors,
                         bool portable)
    : backend_(backend),
      fences_(fences),
      stream_(stream),
      num_processors_(num_processors),
      portable_(portable) {
  list_counts_ = backend.allocate(sizeof(ListCounts), Memory::kDevice).value();
  SLUICE_CUDA_CHECK(cudaMemsetAsync(list_counts_.data(), 0, sizeof(ListCounts), stream));
  list_plan_.num_workers = num_workers();
  list_plan_.counts = list_counts_.as<ListCounts>();
}

Status AttentionOp::prepare(const StepLimits& limits) {
  const size_t row_bytes = sizeof(float) * static_cast<size_t>(limits.head_dim + 2);
  Result<Buffer> partials =
      backend_.allocate(row_bytes * kDecodeRows * max_partials(), Memory::kDevice);
  if (!partials.ok()) return partials.status();
  partials_ = std::move(partials).value();
  max_head_dim_ = limits.head_dim;
  // Tiles have at least kDecodeRows packed rows, but for the last of each sequence; each is an
  // item, and so is each part of a divided one, which has a merge beside it.
  const int64_t group = ceil_div(limits.num_q_heads, limits.num_kv_heads);
  const int64_t tiles =
      (limits.max_tokens * group / kDecodeRows + limits.max_seqs) * limits.num_kv_heads;
  plan_bytes_ =
      (tiles + max_partials()) * static_cast<int64_t>(sizeof(AttendItem) + sizeof(MergeItem));
  Result<std::unique_ptr<Staging>> dense = Staging::create(backend_, fences_, plan_bytes_);
  if (!dense.ok()) return dense.status();
  full_ = {};  // what was planned is gone
  windowed_ = {};
  full_.staging = std::move(dense).value();
  listed_staging_.reset();
  listed_batch_ = {};
  return {};
}

bool AttentionOp::supports_head_dim(int head_dim) {
  return head_dim == 64 || head_dim == 96 || head_dim == 128 || head_dim == 256;
}

int AttentionOp::num_workers() const { return num_processors_ * kBlocksAnSm; }
int AttentionOp::max_partials() const { return num_workers() * kPartialsAWorker; }

AttendParams AttentionOp::params_of(TensorView out, TensorView q, int group,
                                    const AttendOptions& options, const RaggedBatchView& batch,
                                    const KvCacheView& kv) const {
  constexpr float kLog2E = 1.44269504F;
  const float raw_cap = options.soft_cap / options.scale;
  auto* sums = partials_.as<float>();
  const int64_t rows = int64_t{max_partials()} * kDecodeRows;
  return {.q = q.data,
          .q_stride = q.row_stride,
          .out = out.data,
          .out_stride = out.row_stride,
          .group = group,
          .num_processors = num_processors_,
          .scale_log2 = options.scale * kLog2E,
          .window = options.window > 0 ? std::min(options.window, kNoWindow) : kNoWindow,
          .raw_cap = raw_cap,
          .raw_cap_exponent = raw_cap > 0 ? 2 * kLog2E / raw_cap : 0,
          .batch = batch,
          .kv = kv,
          .partial_sums = sums,
          .partial_max = sums + rows * max_head_dim_,
          .partial_total = sums + rows * (max_head_dim_ + 1),
          .runs = {},
          .lists = {}};
}

void AttentionOp::run(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                      const RaggedBatchView& batch, const KvCacheView& kv, const KvRunsView* runs) {
  const int group = num_q_heads / kv.num_kv_heads;
  SLUICE_CHECK_LE(kv.head_dim, max_head_dim_);
  if (kv.dtype != DType::kBF16 || q.dtype != DType::kBF16 || group > kDecodeRows ||
      !is_aligned(q) || !is_aligned(out)) {
    return launch_attend_plain(out, q, num_q_heads, options, batch, kv, runs, stream_);
  }
  AttendParams params = params_of(out, q, group, options, batch, kv);
  const bool portable = portable_ || (kv.head_dim != 64 && kv.head_dim != 128);
  if (runs != nullptr) return run_lists(params, options.window, *runs, portable);
  run_dense(params, options.window, portable);
}

void AttentionOp::run_dense(const AttendParams& params, int window, bool portable) {
  const Dense& dense = plan_dense(*params.batch.host, params.kv.num_kv_heads, params.group, window);
  const auto num_decode = static_cast<int>(dense.plan.decode.size());
  const auto num_prefill = static_cast<int>(dense.plan.prefill.size());
  if (portable) {
    launch_portable(params, dense.decode_items, num_decode, dense.prefill_items, num_prefill,
                    stream_);
  } else {
    launch_prefill(params, dense.prefill_items, num_prefill, stream_);
    launch_decode(params, dense.decode_items, num_decode, stream_);
  }
  launch_merge(params, dense.merge_items, static_cast<int>(dense.plan.merge.size()),
               dense.plan.max_merge_rows, stream_);
}

void AttentionOp::run_lists(AttendParams& params, int window, const KvRunsView& runs,
                            bool portable) {
  plan_lists(*params.batch.host, params.kv.num_kv_heads, params.group, window);
  params.runs = runs;
  params.lists = list_plan_;
  launch_plan_lists(runs, list_plan_, stream_);
  if (portable) {
    launch_portable_lists(params, stream_);
  } else {
    launch_prefill_lists(params, stream_);
    launch_decode_lists(params, stream_);
  }
  launch_merge_lists(params, listed_.max_merge_rows, stream_);
}

const AttentionOp::Dense& AttentionOp::plan_dense(const RaggedBatch& batch, int num_kv_heads,
                                                  int group, int window) {
  Dense& dense = window > 0 ? windowed_ : full_;
  if (!dense.batch.replace(batch, num_kv_heads, group, window)) {
    dense.staging->touch();
    return dense;
  }
  dense.plan.build(batch, num_kv_heads, group, window, num_workers(), max_partials());
  if (dense.staging == nullptr)
    dense.staging = Staging::create(backend_, fences_, plan_bytes_).value();
  dense.staging->begin();
  dense.decode_items = dense.staging->add(dense.plan.decode);
  dense.prefill_items = dense.staging->add(dense.plan.prefill);
  dense.merge_items = dense.staging->add(dense.plan.merge);
  dense.staging->upload();
  return dense;
}

void AttentionOp::plan_lists(const RaggedBatch& batch, int num_kv_heads, int group, int window) {
  if (!listed_batch_.replace(batch, num_kv_heads, group, window)) return listed_staging_->touch();
  listed_.build_row_tiles(batch, num_kv_heads, group, window, num_workers());
  list_plan_.num_decode_tiles = static_cast<int>(listed_.decode.size());
  list_plan_.num_prefill_tiles = static_cast<int>(listed_.prefill.size());
  list_plan_.num_lists = static_cast<int>(listed_.list_keys.size());
  std::vector<AttendItem> tiles = listed_.decode;
  tiles.insert(tiles.end(), listed_.prefill.begin(), listed_.prefill.end());
  if (listed_staging_ == nullptr)
    listed_staging_ = Staging::create(backend_, fences_, plan_bytes_).value();
  listed_staging_->begin();
  list_plan_.tiles = listed_staging_->add(tiles);
  list_plan_.list_keys = listed_staging_->add(listed_.list_keys);
  listed_staging_->upload();
  allocate_list_plan();
}

void AttentionOp::allocate_list_plan() {
  const auto items = static_cast<size_t>(list_plan_.max_items());
  const auto merges = static_cast<size_t>(list_plan_.num_workers);
  const auto lists = static_cast<size_t>(list_plan_.num_lists);
  const size_t bytes = items * sizeof(AttendItem) + merges * sizeof(MergeItem) +
                       lists * (1 + kCheckpoints) * sizeof(int32_t);
  if (list_room_.bytes() < bytes) {
    SLUICE_CUDA_CHECK(cudaStreamSynchronize(stream_));
    list_room_ = Buffer();
    list_room_ = backend_.allocate(bytes, Memory::kDevice).value();
  }
  list_plan_.items = list_room_.as<AttendItem>();
  list_plan_.merge = reinterpret_cast<MergeItem*>(list_plan_.items + items);
  list_plan_.checkpoints = reinterpret_cast<int32_t*>(list_plan_.merge + merges);
  list_plan_.list_blocks = list_plan_.checkpoints + lists * kCheckpoints;
}

}  // namespace sluice::cuda
