// AttentionOp: Backend::attend on a CUDA device. Plans a step once, then chooses kernels layer by
// layer.
#pragma once

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/staging.h"

namespace sluice::cuda {

// What a plan was made for.
struct PlannedBatch {
  std::vector<int32_t> q_indptr, kv_lens;
  int num_kv_heads = 0;
  int group = 0;

  // Takes the batch over; false where it is the one before.
  bool replace(const RaggedBatch& batch, int num_kv_heads, int group);
};

// Owns the plans of the latest batch and the room for partials: 35 MB on 132 processors at head_dim
// 128. What run lists need grows in the first, largest steps, then never. Not thread-safe.
class AttentionOp {
 public:
  // `portable`: only what every card since sm_80 can do, though this one may know more.
  AttentionOp(Backend& backend, Fences& fences, cudaStream_t stream, int num_processors,
              bool portable);

  // As Backend::prepare; must come before run().
  Status prepare(const StepLimits& limits);

  static bool supports_head_dim(int head_dim);

  void run(TensorView out, TensorView q, int num_q_heads, float scale, const RaggedBatchView& batch,
           const KvCacheView& kv, const KvRunsView* runs);

 private:
  int num_workers() const;
  int max_partials() const;
  AttendParams params_of(TensorView out, TensorView q, int group, float scale,
                         const RaggedBatchView& batch, const KvCacheView& kv) const;
  void run_dense(const AttendParams& params, bool portable);
  void run_lists(AttendParams& params, const KvRunsView& runs, bool portable);
  void plan_dense(const RaggedBatch& batch, int num_kv_heads, int group);
  void plan_lists(const RaggedBatch& batch, int num_kv_heads, int group);
  void allocate_list_plan();

  Backend& backend_;
  Fences& fences_;
  cudaStream_t stream_;
  int num_processors_;
  bool portable_;
  int64_t plan_bytes_ = 0;  // of the largest step
  int max_head_dim_ = 0;
  Buffer partials_;

  PlannedBatch dense_batch_;
  AttentionPlan dense_;
  std::unique_ptr<Staging> dense_staging_;
  const AttendItem* decode_items_ = nullptr;
  const AttendItem* prefill_items_ = nullptr;
  const MergeItem* merge_items_ = nullptr;

  PlannedBatch listed_batch_;
  AttentionPlan listed_;  // row tiles alone
  std::unique_ptr<Staging> listed_staging_;
  ListPlan list_plan_;
  Buffer list_room_, list_counts_;
};

}  // namespace sluice::cuda
