// Joins the partials of split row tiles, in the order of their keys.
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/dispatch.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kListedRows =
    16;  // merged at once where the number of merges is not known on the host

// One packed row of an item. kDim / 4 threads, four columns each, make a team; the teams share the
// partials of the row, and their sums are joined in the order of the teams.
template <int kDim>
__device__ void merge_row(const AttendParams& p, const MergeItem& item, int row) {
  constexpr int kTeam = kDim / 4, kTeams = kThreads / kTeam;
  __shared__ float team_max[kTeams], team_total[kTeams];
  __shared__ float4 team_sum[kTeams][kTeam];
  const int team = threadIdx.x / kTeam;  // may be kTeams: threads too few for one more
  const int column = threadIdx.x % kTeam;
  const auto slot_row = [&](int i) {
    return (int64_t{item.partial_begin} + int64_t{i} * item.slots) * kDecodeRows + row;
  };
  float max = -INFINITY, total = 0;
  float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 4
  for (int i = team; i < item.num_partials; i += kTeams)
    max = fmaxf(max, p.partial_max[slot_row(i)]);
#pragma unroll 4
  for (int i = team; i < item.num_partials; i += kTeams) {
    const float part_max = p.partial_max[slot_row(i)];
    const float weight = part_max == -INFINITY ? 0.0F : exp2_approx(part_max - max);
    const float4 part =
        reinterpret_cast<const float4*>(p.partial_sums + slot_row(i) * kDim)[column];
    total += weight * p.partial_total[slot_row(i)];
    sum.x += weight * part.x;
    sum.y += weight * part.y;
    sum.z += weight * part.z;
    sum.w += weight * part.w;
  }
  if (team < kTeams) {
    if (column == 0) {
      team_max[team] = max;
      team_total[team] = total;
    }
    team_sum[team][column] = sum;
  }
  __syncthreads();
  if (team != 0) return;
  float best = -INFINITY;
  for (int t = 0; t < kTeams; ++t) best = fmaxf(best, team_max[t]);
  total = 0;
  sum = make_float4(0, 0, 0, 0);
  for (int t = 0; t < kTeams; ++t) {
    const float weight = team_max[t] == -INFINITY ? 0.0F : exp2_approx(team_max[t] - best);
    total += weight * team_total[t];
    sum.x += weight * team_sum[t][column].x;
    sum.y += weight * team_sum[t][column].y;
    sum.z += weight * team_sum[t][column].z;
    sum.w += weight * team_sum[t][column].w;
  }
  const int packed = item.row_begin + row;
  auto* out = static_cast<__nv_bfloat16*>(p.out) +
              (p.batch.q_indptr[item.seq] + packed / p.group) * p.out_stride +
              (item.kv_head * p.group + packed % p.group) * kDim + column * 4;
  const float inverse = total > 0 ? 1.0F / total : 0.0F;
  *reinterpret_cast<uint2*>(out) = make_uint2(pack_bf16(sum.x * inverse, sum.y * inverse),
                                              pack_bf16(sum.z * inverse, sum.w * inverse));
}

// Grid: (merge items at most, rows at once).
template <int kDim, bool kLists>
__global__ void __launch_bounds__(kThreads)
    merge_kernel(const AttendParams p, const MergeItem* items) {
  wait_for_previous_kernel();
  allow_next_kernel();
  if constexpr (kLists) {
    if (static_cast<int>(blockIdx.x) >= p.lists.counts->merge_items) return;
    items = p.lists.merge;
  }
  const MergeItem item = items[blockIdx.x];
  for (int row = blockIdx.y; row < item.rows; row += gridDim.y) {
    merge_row<kDim>(p, item, row);
    __syncthreads();  // the next row's sums take the place of this one's
  }
}

}  // namespace

void launch_merge(const AttendParams& params, const MergeItem* items, int num_items, int max_rows,
                  cudaStream_t stream) {
  if (num_items == 0) return;
  dispatch_head_dim<64, 96, 128, 256>(params.kv.head_dim, [&](auto dim) {
    launch(merge_kernel<decltype(dim)::value, false>, dim3(num_items, max_rows), kThreads, 0,
           stream, params, items);
  });
}

void launch_merge_lists(const AttendParams& params, int max_rows, cudaStream_t stream) {
  const ListPlan& plan = params.lists;
  const dim3 grid(std::min(plan.num_tiles(), plan.num_workers), std::min(max_rows, kListedRows));
  dispatch_head_dim<64, 96, 128, 256>(params.kv.head_dim, [&](auto dim) {
    launch(merge_kernel<decltype(dim)::value, true>, grid, kThreads, 0, stream, params, nullptr);
  });
}

}  // namespace sluice::cuda
