// gemm: against a double-precision reference, and batch invariance to the bit.
#include <cstring>

#include "tests/kernels/backends.h"
#include "tests/kernels/tensors.h"

namespace sluice {
namespace {

class Gemm : public KernelTest {};
SLUICE_ON_EVERY_BACKEND(Gemm);

struct Shape {
  int64_t tokens, in, out;
};
constexpr Shape kShapes[] = {{0, 64, 64},  {1, 1, 1},     {1, 64, 256}, {1, 65, 200},
                             {2, 33, 130}, {5, 96, 64},   {8, 128, 65}, {13, 64, 320},
                             {64, 70, 77}, {200, 40, 48}, {1, 576, 960}};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w, Shape s) {
  std::vector<double> out;
  for (int64_t t = 0; t < s.tokens; ++t) {
    for (int64_t n = 0; n < s.out; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < s.in; ++k) sum += x[t * s.in + k] * w[n * s.in + k];
      out.push_back(sum);
    }
  }
  return out;
}

// Rows that only the kernels for odd strides take, and rows that the fast ones do.
struct Padding {
  int64_t in, out;
};

TEST_P(Gemm, MatchesReference) {
  std::mt19937 rng(1);
  for (const Shape& s : kShapes) {
    for (const auto& [weight, padding] : {std::pair{DType::kF32, Padding{3, 5}},
                                          {DType::kBF16, Padding{3, 5}},
                                          {DType::kBF16, Padding{0, 0}},
                                          {DType::kBF16, Padding{8, 16}}}) {
      for (const auto& [in, out] :
           {std::pair{DType::kF32, DType::kF32}, std::pair{DType::kBF16, DType::kBF16},
            std::pair{DType::kBF16, DType::kF32}}) {
        SCOPED_TRACE(testing::Message()
                     << s.tokens << " x " << s.in << " x " << s.out << " weight "
                     << short_name(weight) << " " << short_name(in) << " to " << short_name(out));
        const auto x = random_values(s.tokens * s.in, in, rng);
        const auto w = random_values(s.out * s.in, weight, rng);
        const Weight packed = make_weight(backend(), w, s.out, s.in, weight);
        DeviceTensor xs(backend(), in, s.tokens, s.in, padding.in);
        DeviceTensor ys(backend(), out, s.tokens, s.out, padding.out);
        xs.set(x);
        backend().gemm(ys.view(), xs.view(), packed);
        expect_close(ys.get(), product(x, w, s),
                     gemm_tolerance(s.in, 0.34, weight, out, backend().info().activations));
        ys.check_guards();
      }
    }
  }
}

TEST_P(Gemm, StacksThePartsOfAWeight) {
  std::mt19937 rng(2);
  std::vector<uint16_t> half(40 * 5, 0x3c00);  // 1.0 in float16
  half[7] = 0xc100;                            // -2.5
  std::vector<float> single(30 * 5);
  for (float& value : single) value = static_cast<float>(rng() % 16);
  const TensorView parts[] = {TensorView::dense(half.data(), DType::kF16, 40, 5),
                              TensorView::dense(single.data(), DType::kF32, 30, 5)};
  const Weight weight = backend().load_weight("stacked", parts, DType::kBF16).value();
  EXPECT_EQ(weight.rows, 70);
  DeviceTensor x(backend(), DType::kF32, 1, 5);
  DeviceTensor y(backend(), DType::kF32, 1, 70);
  x.set({1, 2, 4, 8, 16});
  backend().gemm(y.view(), x.view(), weight);
  std::vector<double> want(40, 31);
  want[1] = 31 - 4 * (1 + 2.5);
  for (int r = 0; r < 30; ++r) {
    double sum = 0;
    for (int k = 0; k < 5; ++k) sum += std::ldexp(single[r * 5 + k], k);
    want.push_back(sum);
  }
  EXPECT_EQ(y.get(), want);
}

// A row's result is the same bits alone and among 1 ... 70 others.
TEST_P(Gemm, BatchInvariant) {
  if (!backend().batch_invariant()) GTEST_SKIP() << "not promised by this backend";
  std::mt19937 rng(3);
  constexpr int64_t kIn = 200, kOut = 330, kTokens = 70;
  for (const DType dtype : kDTypes) {
    const auto w = random_values(kOut * kIn, dtype, rng);
    const Weight weight = make_weight(backend(), w, kOut, kIn, dtype);
    DeviceTensor x(backend(), DType::kF32, kTokens, kIn);
    x.set(random_values(kTokens * kIn, DType::kF32, rng));
    DeviceTensor whole(backend(), DType::kF32, kTokens, kOut);
    backend().gemm(whole.view(), x.view(), weight);
    for (const int64_t chunk : {1, 2, 3, 4, 5, 6, 7, 8, 13, 32, 64}) {
      DeviceTensor parts(backend(), DType::kF32, kTokens, kOut);
      for (int64_t t = 0; t < kTokens; t += chunk) {
        const int64_t count = std::min(chunk, kTokens - t);
        TensorView in = x.view(), out = parts.view();
        in = {in.row_ptr(t), in.dtype, count, in.cols, in.row_stride};
        out = {out.row_ptr(t), out.dtype, count, out.cols, out.row_stride};
        backend().gemm(out, in, weight);
      }
      EXPECT_EQ(parts.bytes(), whole.bytes()) << "chunks of " << chunk;
    }
  }
}

// Kernels are chosen for row counts in buckets; one that a lone row likes may refuse sixteen.
TEST_P(Gemm, ALoneRowsKernelIsNotForcedOnMoreRows) {
  constexpr int64_t kIn = 256, kOut = 256;
  std::mt19937 rng(5);
  for (const DType dtype : kDTypes) {
    const auto w = random_values(kOut * kIn, dtype, rng);
    const Weight weight = make_weight(backend(), w, kOut, kIn, dtype);
    for (const int64_t rows : {1, 13, 16, 9, 2, 1, 17, 32, 25, 130, 255, 200}) {
      const auto x = random_values(rows * kIn, dtype, rng);
      DeviceTensor xs(backend(), dtype, rows, kIn), ys(backend(), DType::kF32, rows, kOut);
      xs.set(x);
      backend().gemm(ys.view(), xs.view(), weight);
      const auto all = ys.get();
      const std::vector<double> last_x(x.end() - kIn, x.end()), last(all.end() - kOut, all.end());
      expect_close(last, product(last_x, w, {1, kIn, kOut}),
                   gemm_tolerance(kIn, 0.34, dtype, DType::kF32, backend().info().activations));
    }
  }
}

// Large enough for several rounds, jobs and threads.
TEST_P(Gemm, LargeProductMatchesItsRowsAlone) {
  constexpr int64_t kIn = 512, kOut = 128, kTokens = 1500;
  const Weight weight =
      backend().random_weight("w", kOut, kIn, DType::kBF16, /*seed=*/7, 0.5F).value();
  std::mt19937 rng(4);
  DeviceTensor x(backend(), DType::kF32, kTokens, kIn);
  x.set(random_values(kTokens * kIn, DType::kF32, rng));
  DeviceTensor y(backend(), DType::kF32, kTokens, kOut), alone(backend(), DType::kF32, 1, kOut);
  backend().gemm(y.view(), x.view(), weight);
  const auto all = y.get();
  for (const int64_t t : {0, 511, 777, 1499}) {
    TensorView row = x.view();
    row = {row.row_ptr(t), row.dtype, 1, row.cols, row.row_stride};
    backend().gemm(alone.view(), row, weight);
    const auto one = alone.get();
    const std::vector<double> same(all.begin() + t * kOut, all.begin() + (t + 1) * kOut);
    expect_close(same, one,
                 backend().batch_invariant() ? Tolerance{0, 1e-300}
                                             : gemm_tolerance(kIn, 0.2, DType::kBF16, DType::kF32,
                                                              backend().info().activations));
  }
}

// Row counts on both sides of every boundary between kernels, and twice, for the bits.
void every_row_count_matches_reference(Backend& backend, bool prepared) {
  constexpr int64_t kIn = 264, kOut = 200, kMostRows = 70;
  std::mt19937 rng(5);
  for (const DType out : kDTypes) {
    const auto w = random_values(kOut * kIn, DType::kBF16, rng);
    const Weight weight = make_weight(backend, w, kOut, kIn, DType::kBF16);
    const auto x = random_values(kMostRows * kIn, DType::kBF16, rng);
    const auto want = product(x, w, {kMostRows, kIn, kOut});
    DeviceTensor xs(backend, DType::kBF16, kMostRows, kIn);
    DeviceTensor ys(backend, out, kMostRows, kOut), again(backend, out, kMostRows, kOut);
    const Weight* const weights[] = {&weight};
    if (prepared) backend.prepare_gemm(ys.view(), xs.view(), weights);
    xs.set(x);
    for (const int64_t rows : {1, 8, 9, 16, 17, 32, 33, 64, 65, 70}) {
      SCOPED_TRACE(testing::Message() << rows << " rows to " << short_name(out));
      backend.gemm(ys.view().head(rows), xs.view().head(rows), weight);
      backend.gemm(again.view().head(rows), xs.view().head(rows), weight);
      auto got = ys.get();
      got.resize(static_cast<size_t>(rows * kOut));
      expect_close(got, {want.begin(), want.begin() + rows * kOut},
                   gemm_tolerance(kIn, 0.34, DType::kBF16, out, DType::kBF16));
      auto twice = again.get();
      twice.resize(got.size());
      EXPECT_EQ(got, twice);
    }
  }
}

TEST_P(Gemm, EveryRowCountMatchesReference) {
  every_row_count_matches_reference(backend(), /*prepared=*/false);
}

// Measuring which kernels suit the shape changes none of it.
TEST_P(Gemm, EveryRowCountMatchesReferenceWhenPrepared) {
  every_row_count_matches_reference(backend(), /*prepared=*/true);
}

// Widths that the kernels take in one and widths that they do not; row counts of every kernel. A
// backend may round the two products or not, so each may be off by what gemm's and a rounding are.
TEST_P(Gemm, SiluMulOfAProductMatchesReference) {
  std::mt19937 rng(6);
  for (const Shape& s : {Shape{0, 64, 64}, Shape{1, 64, 40}, Shape{3, 1024, 8}, Shape{8, 96, 264},
                         Shape{9, 200, 136}, Shape{20, 72, 72}, Shape{64, 328, 144},
                         Shape{65, 64, 64}, Shape{5, 40, 33}, Shape{33, 264, 36}}) {
    for (const DType dtype : kDTypes) {
      SCOPED_TRACE(testing::Message()
                   << s.tokens << " x " << s.in << " x " << s.out << " " << short_name(dtype));
      const auto x = random_values(s.tokens * s.in, dtype, rng);
      const auto w = random_values(2 * s.out * s.in, DType::kBF16, rng);
      const Weight weight = make_weight(backend(), w, 2 * s.out, s.in, DType::kBF16);
      const auto both = product(x, w, {s.tokens, s.in, 2 * s.out});
      std::vector<double> want;
      double largest = 1;
      for (int64_t t = 0; t < s.tokens; ++t) {
        for (int64_t i = 0; i < s.out; ++i) {
          const double gate = both[t * 2 * s.out + i], up = both[t * 2 * s.out + s.out + i];
          want.push_back(gate / (1 + std::exp(-gate)) * up);
          largest = std::max({largest, std::fabs(gate), std::fabs(up)});
        }
      }
      DeviceTensor xs(backend(), dtype, s.tokens, s.in, 8);
      DeviceTensor scratch(backend(), dtype, s.tokens, 2 * s.out);
      DeviceTensor ys(backend(), dtype, s.tokens, s.out, 3);
      xs.set(x);
      backend().gemm_silu_mul(ys.view(), scratch.view(), xs.view(), weight);
      const Tolerance one =
          gemm_tolerance(s.in, 0.34, DType::kBF16, dtype, backend().info().activations);
      // silu's slope is at most 1.1; the other factor is at most `largest`.
      const double off = one.absolute + one.relative * largest;
      expect_close(ys.get(), want, {one.relative + 16 * kU, 2.1 * off * largest});
      ys.check_guards();
      backend().gemm_silu_mul(scratch.view().columns(0, s.out), scratch.view(), xs.view(), weight);
      expect_close(left_columns(scratch.get(), 2 * s.out, s.out), want,
                   {one.relative + 16 * kU, 2.1 * off * largest});
    }
  }
}

// The formula of Backend::random_weight's numbers, restated: backends must agree on them.
TEST_P(Gemm, RandomWeightIsTheDocumentedHash) {
  constexpr int64_t kRows = 70, kCols = 5;
  const Weight weight =
      backend().random_weight("w", kRows, kCols, DType::kF32, /*seed=*/99, 0.25F).value();
  DeviceTensor out(backend(), DType::kF32, 2, kCols);
  const Buffer ids = upload<TokenId>(backend(), {3, 69});
  backend().embed(out.view(), weight, ids.as<TokenId>());
  std::vector<double> want;
  for (const uint64_t row : {3, 69}) {
    for (uint64_t col = 0; col < kCols; ++col) {
      uint64_t z = 99 + ((row << 32) + col + 1) * 0x9E3779B97F4A7C15U;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
      z ^= z >> 31;
      want.push_back(
          rounded(0.25 * (2.0 * std::ldexp(static_cast<double>(z >> 40), -24) - 1.0), DType::kF32));
    }
  }
  EXPECT_EQ(out.get(), want);
}

}  // namespace
}  // namespace sluice
