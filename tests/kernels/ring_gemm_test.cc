// RingGemm: every cut that a choice could fall on computes the product, whatever the shape.
#include <iostream>

#include "kernels/cuda/gemm/fusions.h"
#include "kernels/cuda/gemm/ring.h"
#include "tests/kernels/backends.h"
#include "tests/kernels/tensors.h"

namespace sluice::cuda {
namespace {

constexpr int kSms = 132;  // of the card that the cuts are for, not of the one that runs the test

Backend* cuda_backend() {
  for (const BackendCase& one : backend_cases()) {
    if (one.name == "cuda_bf16_activations") return one.backend;
  }
  return nullptr;
}

struct Shape {
  int64_t rows, in, out;
};

std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w, Shape s) {
  std::vector<double> out(static_cast<size_t>(s.rows * s.out));
  for (int64_t t = 0; t < s.rows; ++t) {
    for (int64_t n = 0; n < s.out; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < s.in; ++k) sum += x[t * s.in + k] * w[n * s.in + k];
      out[t * s.out + n] = sum;
    }
  }
  return out;
}

TEST(RingGemm, EveryCutMatchesReferenceAndRepeatsToTheBit) {
  Backend* backend = cuda_backend();
  if (backend == nullptr) GTEST_SKIP() << "no CUDA device";
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937 rng(seed);
  const auto random = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng);
  };
  const RingGemm ring(kSms);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  for (int round = 0; round < 12; ++round) {
    const Shape s{random(1, kRingRows), 8 * random(1, 120),
                  round % 2 == 0 ? 16 * random(1, 44) : random(1, 700)};
    const auto x = random_values(s.rows * s.in, DType::kBF16, rng);
    const auto w = random_values(s.out * s.in, DType::kBF16, rng);
    const Weight weight = make_weight(*backend, w, s.out, s.in, DType::kBF16);
    const auto want = product(x, w, s);
    const DType out = round % 2 == 0 ? DType::kBF16 : DType::kF32;
    DeviceTensor xs(*backend, DType::kBF16, s.rows, s.in, 8 * random(0, 2));
    xs.set(x);
    for (const RingCut& cut : ring.cuts(s.rows, s.out)) {
      SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " x " << s.out << ": tiles of "
                                      << cut.tile_rows << ", " << cut.slices << " slices, "
                                      << cut.stages << " stages, to " << short_name(out));
      DeviceTensor ys(*backend, out, s.rows, s.out, 5), again(*backend, out, s.rows, s.out, 5);
      backend->synchronize();  // the products run on another stream
      ring.run(ys.view(), xs.view(), weight, cut, stream);
      ring.run(again.view(), xs.view(), weight, cut, stream);
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      expect_close(ys.get(), want, gemm_tolerance(s.in, 0.34, DType::kBF16, out, DType::kBF16));
      ys.check_guards();
      EXPECT_EQ(ys.dense_bytes(), again.dense_bytes());
      if (out != DType::kBF16 || s.out % 16 != 0) continue;
      // The gated product of the same weight is made of the plain one's two halves.
      DeviceTensor gated(*backend, out, s.rows, s.out / 2, 3);
      ring.run_gated(gated.view(), xs.view(), weight, cut, stream);
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      std::vector<double> combined;
      for (int64_t t = 0; t < s.rows; ++t) {
        for (int64_t i = 0; i < s.out / 2; ++i) {
          const double gate = want[t * s.out + i], up = want[t * s.out + s.out / 2 + i];
          combined.push_back(gate / (1 + std::exp(-gate)) * up);
        }
      }
      expect_close(gated.get(), combined, {2 * kB, 1e-2});
      gated.check_guards();
    }
  }
  cudaStreamDestroy(stream);
}

// As every cut leaves them: a residual with a product added, its squares, and rows that the
// products of every cut multiply by the factors.
TEST(RingGemm, EveryCutAddsToAResidualAndTakesRowsThatLackFactors) {
  Backend* backend = cuda_backend();
  if (backend == nullptr) GTEST_SKIP() << "no CUDA device";
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937 rng(seed);
  const auto random = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng);
  };
  const RingGemm ring(kSms);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  for (int round = 0; round < 6; ++round) {
    const Shape s{random(1, kRingRows), 8 * random(1, 120), 64 * random(1, 10)};
    const auto x = random_values(s.rows * s.in, DType::kBF16, rng);
    const auto w = random_values(s.out * s.in, DType::kBF16, rng);
    const auto before = random_values(s.rows * s.out, DType::kBF16, rng);
    const auto norm = random_values(s.out, DType::kF32, rng);
    const Weight weight = make_weight(*backend, w, s.out, s.in, DType::kBF16);
    const auto product_of_x = product(x, w, s);
    DeviceTensor xs(*backend, DType::kBF16, s.rows, s.in), norms(*backend, DType::kF32, 1, s.out);
    DeviceTensor residual(*backend, DType::kBF16, s.rows, s.out, 8);
    DeviceTensor hidden(*backend, DType::kBF16, s.rows, s.out, 16);
    DeviceTensor squares(*backend, DType::kF32, s.rows, s.out / kSquaresOf);
    xs.set(x);
    norms.set(norm);
    for (const RingCut& cut : ring.cuts(s.rows, s.out)) {
      SCOPED_TRACE(testing::Message()
                   << s.rows << " x " << s.in << " x " << s.out << ": tiles of " << cut.tile_rows
                   << ", " << cut.slices << " slices, " << cut.stages << " stages");
      residual.set(before);
      const AddNorm to{.out = static_cast<__nv_bfloat16*>(hidden.view().data),
                       .out_stride = hidden.view().row_stride,
                       .residual = static_cast<__nv_bfloat16*>(residual.view().data),
                       .residual_stride = residual.view().row_stride,
                       .norm = static_cast<const float*>(norms.view().data),
                       .squares = static_cast<float*>(squares.view().data),
                       .squares_stride = squares.view().row_stride};
      ring.run_add_norm(to, xs.view(), weight, cut, stream);
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      const std::vector<double> kept = residual.get(), rows = hidden.get();
      std::vector<double> sum = product_of_x, gained, sums_of_squares(squares.get().size());
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i] += before[i];
        gained.push_back(kept[i] * norm[i % static_cast<size_t>(s.out)]);
        sums_of_squares[i / kSquaresOf] += kept[i] * kept[i];
      }
      const Tolerance close = gemm_tolerance(s.in, 0.34, DType::kBF16, DType::kBF16, DType::kBF16);
      expect_close(kept, sum, close);
      expect_close(rows, gained, {2 * kB, 0});
      expect_close(squares.get(), sums_of_squares, {32 * kU, 0});
      residual.check_guards();
      hidden.check_guards();

      // One product of rows that lack factors, beside the product of the rows times these.
      const ProductInput input(hidden.view(), squares.view(), 1e-5F);
      const Shape next{s.rows, s.out, 48};
      const auto v = random_values(next.out * next.in, DType::kBF16, rng);
      const Weight after = make_weight(*backend, v, next.out, next.in, DType::kBF16);
      std::vector<double> want = product(rows, v, next);
      for (int64_t t = 0; t < s.rows; ++t) {
        double squared = 0;
        for (int64_t i = 0; i < s.out; ++i) squared += kept[t * s.out + i] * kept[t * s.out + i];
        const double factor = 1 / std::sqrt(squared / static_cast<double>(s.out) + 1e-5);
        for (int64_t i = 0; i < next.out; ++i) want[t * next.out + i] *= factor;
      }
      DeviceTensor ys(*backend, DType::kF32, s.rows, next.out, 1);
      for (const RingCut& other : ring.cuts(next.rows, next.out)) {
        ring.run(ys.view(), input, after, other, stream);
        ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
        expect_close(ys.get(), want,
                     gemm_tolerance(next.in, 0.34, DType::kBF16, DType::kF32, DType::kBF16));
        ys.check_guards();
      }
    }
  }
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace sluice::cuda
