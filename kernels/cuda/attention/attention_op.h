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
  int window = 0;

  // Takes the batch over; false where it is the one before.
  bool replace(const RaggedBatch& batch, int num_kv_heads, int group, int window);
};

// Owns the plans of the latest batch and the room for partials: 35 MB on 132 processors at head_dim
// 128. What run lists and windows need grows in the first, largest steps, then never. Not
// thread-safe.
class AttentionOp {
 public:
  // `portable`: only what every card since sm_80 can do, though this one may know more.
  AttentionOp(Backend& backend, Fences& fences, cudaStream_t stream, int num_processors,
              bool portable);

  // As Backend::prepare; must come before run().
  Status prepare(const StepLimits& limits);

  static bool supports_head_dim(int head_dim);

  void run(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
           const RaggedBatchView& batch, const KvCacheView& kv, const KvRunsView* runs);

 private:
  // The plan of layers without run lists that share a window, and its items on the device.
  struct Dense {
    PlannedBatch batch;
    AttentionPlan plan;
    std::unique_ptr<Staging> staging;
    const AttendItem* decode_items = nullptr;
    const AttendItem* prefill_items = nullptr;
    const MergeItem* merge_items = nullptr;
  };

  int num_workers() const;
  int max_partials() const;
  AttendParams params_of(TensorView out, TensorView q, int group, const AttendOptions& options,
                         const RaggedBatchView& batch, const KvCacheView& kv) const;
  void run_dense(const AttendParams& params, int window, bool portable);
  void run_lists(AttendParams& params, int window, const KvRunsView& runs, bool portable);
  const Dense& plan_dense(const RaggedBatch& batch, int num_kv_heads, int group, int window);
  void plan_lists(const RaggedBatch& batch, int num_kv_heads, int group, int window);
  void allocate_list_plan();

  Backend& backend_;
  Fences& fences_;
  cudaStream_t stream_;
  int num_processors_;
  bool portable_;
  int64_t plan_bytes_ = 0;  // of the largest step
  int max_head_dim_ = 0;
  Buffer partials_;

  Dense full_, windowed_;  // by turns in models whose layers alternate

  PlannedBatch listed_batch_;
  AttentionPlan listed_;  // row tiles alone
  std::unique_ptr<Staging> listed_staging_;
  ListPlan list_plan_;
  Buffer list_room_, list_counts_;
};

}  // namespace sluice::cuda
