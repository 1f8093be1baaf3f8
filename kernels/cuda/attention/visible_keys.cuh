// Which keys the columns of a score tile are: consecutive ones of a dense sequence, or those of a
// run list, any and with gaps.
#pragma once

#include "kernels/cuda/attention/run_reader.cuh"

namespace sluice::cuda {

struct DenseKeys {
  int first;
  // True where all `count` columns are keys in [begin, limit): nothing to mask.
  __device__ bool all_in(int begin, int limit, int count) const {
    return first >= begin && first + count <= limit;
  }
  // The keys of columns `column` (even) and the next.
  __device__ int2 pair(int column) const { return {first + column, first + column + 1}; }
};

struct ListedKeys {
  const int* keys;  // of each column; kNoKey in gaps
  int num_keys;     // without gaps; 0 where nobody counted
  __device__ bool all_in(int begin, int limit, int count) const {
    return num_keys == count && keys[0] >= begin && keys[count - 1] < limit;
  }
  __device__ int2 pair(int column) const { return *reinterpret_cast<const int2*>(keys + column); }
};

}  // namespace sluice::cuda
