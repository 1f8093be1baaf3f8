// Tiles of a row-major matrix through the copy engine (tensor maps), and what the blocks of a
// cluster share. Beside ptx.cuh: these need the driver's CUtensorMap.
#pragma once

#include <cuda.h>

#include "kernels/cuda/device/ptx.cuh"

namespace sluice::cuda {

// Fetches the map itself, so that the first copy need not wait for it.
__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Copies the map's box at (row, col) to shared memory, swizzled as the map says; what lies outside
// the matrix becomes zeros, and counts towards the barrier's bytes all the same.
__device__ __forceinline__ void tile_copy(void* to_shared, const CUtensorMap* map, int row, int col,
                                          uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], [%4];" ::"r"(smem_address(to_shared)),
      "l"(map), "r"(col), "r"(row), "r"(smem_address(barrier))
      : "memory");
}

// The same of a map that sees a matrix of 2 n rows as [n / 8 groups][2 halves][8 rows]: the box's
// rows are 8 of the upper half, 8 of the lower, the next 8 of the upper, ...
__device__ __forceinline__ void tile_copy_paired(void* to_shared, const CUtensorMap* map, int group,
                                                 int col, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3, %3, %4}], [%5];" ::"r"(smem_address(to_shared)),
      "l"(map), "r"(col), "r"(0), "r"(group), "r"(smem_address(barrier))
      : "memory");
}

__device__ __forceinline__ int cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// All threads of all blocks of the cluster meet.
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// Reads shared memory of block `rank`, at the place where `at` lies in this block's.
__device__ __forceinline__ float4 load_from_block(const float4* at, int rank) {
  float4 value;
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %4, %5;\n"
      "ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [remote];\n}\n"
      : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
      : "r"(smem_address(at)), "r"(rank)
      : "memory");
  return value;
}

}  // namespace sluice::cuda
