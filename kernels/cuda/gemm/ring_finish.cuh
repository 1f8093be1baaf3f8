// What becomes of ring.cu's sums: stored, gated, or added to a residual.
#pragma once

#include "kernels/cuda/gemm/fusions.cuh"

namespace sluice::cuda {

// What all of the kernel's parts are given.
struct RingParams {
  RowFactors factors;
  int tokens, rows;  // of x; columns of out
  int tile_rows;
  int steps;   // along K
  int slices;  // of K, a block each
  int stages;
};

// A thread holds, of vector v, rows g and g + 8 of its warp's sixteen (x, y and z, w), the first of
// which is row `row` of the weight's tiles, and tokens 8 v + 2 c and the next. What else it needs
// of them is fetched ahead.
struct RingSpot {
  int row, token;  // of x, z and of x, y
};

template <typename Out>
struct RingStore {
  static constexpr bool kPaired = false;
  struct Fetched {};
  Out* out;
  int64_t stride;

  __device__ Fetched fetch(const RingParams&, RingSpot) const { return {}; }
  __device__ void store(const RingParams& p, RingSpot at, Fetched,
                        const float (&sums)[2][2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = at.row + 8 * h;
        if (row < p.rows && at.token + i < p.tokens)
          out[(at.token + i) * stride + row] = from_f32<Out>(sums[h][i]);
      }
    }
  }
};

struct RingStoreGated {
  static constexpr bool kPaired = true;
  struct Fetched {};
  __nv_bfloat16* out;
  int64_t stride;

  __device__ Fetched fetch(const RingParams&, RingSpot) const { return {}; }
  __device__ void store(const RingParams& p, RingSpot at, Fetched,
                        const float (&sums)[2][2]) const {
    const int g = threadIdx.x % 32 / 4, col = (at.row - g) / 2 + g;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (col < p.rows && at.token + i < p.tokens) {
        out[(at.token + i) * stride + col] = from_f32<__nv_bfloat16>(silu(sums[0][i]) * sums[1][i]);
      }
    }
  }
};

struct RingAddNorm {
  static constexpr bool kPaired = false;
  struct Fetched {
    float residual[2][2], gain[2];
  };
  AddNorm to;

  __device__ Fetched fetch(const RingParams& p, RingSpot at) const {
    Fetched fetched{};
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = at.row + 8 * h;
      if (row >= p.rows) continue;
      fetched.gain[h] = to.norm[row];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (at.token + i < p.tokens) {
          fetched.residual[h][i] = to_f32(to.residual[(at.token + i) * to.residual_stride + row]);
        }
      }
    }
    return fetched;
  }
  __device__ void store(const RingParams& p, RingSpot at, const Fetched& fetched,
                        const float (&sums)[2][2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float square = 0;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = at.row + 8 * h;
        if (row >= p.rows || at.token + i >= p.tokens) continue;
        const float sum = add_to_residual(to, at.token + i, row, fetched.residual[h][i],
                                          fetched.gain[h], sums[h][i]);
        square += sum * sum;
      }
#pragma unroll
      for (int step = 4; step < 32; step *= 2) square += __shfl_xor_sync(~0U, square, step);
      if (threadIdx.x % 32 < 4 && at.row < p.rows && at.token + i < p.tokens)
        to.squares[(at.token + i) * to.squares_stride + at.row / kSquaresOf] = square;
    }
  }
};

template <typename Finish>
__device__ __forceinline__ void finish_vector(const Finish& finish, const RingParams& p,
                                              RingSpot at, const typename Finish::Fetched& fetched,
                                              float4 sum, const float* factors) {
  const bool lacking = p.factors.squares != nullptr;
  const float x = lacking ? factors[at.token] : 1.0F, y = lacking ? factors[at.token + 1] : 1.0F;
  finish.store(p, at, fetched, {{sum.x * x, sum.y * y}, {sum.z * x, sum.w * y}});
}

// This thread's in vector v.
__device__ __forceinline__ RingSpot spot_of(int first_row, int v) {
  const int lane = threadIdx.x % 32;
  return {.row = first_row + static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4,
          .token = v * 8 + lane % 4 * 2};
}

}  // namespace sluice::cuda
