// Row-wise ops: norms, sums, gated activations, gather_rows, embed.
#include "tests/kernels/backends.h"
#include "tests/kernels/tensors.h"

namespace sluice {
namespace {

class RowOps : public KernelTest {};
SLUICE_ON_EVERY_BACKEND(RowOps);

struct Shape {
  int64_t rows, cols, padding;
};
constexpr Shape kShapes[] = {{0, 64, 0}, {1, 1, 0},   {1, 7, 3},
                             {3, 65, 5}, {2, 256, 0}, {300, 130, 2}};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};
constexpr float kEps = 1e-5F;

std::vector<double> normed(const std::vector<double>& x, const std::vector<double>& weight,
                           int64_t rows, int64_t cols) {
  std::vector<double> out(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < cols; ++c) squares += x[r * cols + c] * x[r * cols + c];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(cols) + kEps);
    for (int64_t c = 0; c < cols; ++c) out[r * cols + c] = x[r * cols + c] * factor * weight[c];
  }
  return out;
}

template <typename Body>
void for_shapes(Body&& body) {
  for (const DType dtype : kDTypes) {
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(testing::Message() << shape.rows << " x " << shape.cols << " + " << shape.padding
                                      << " " << short_name(dtype));
      body(dtype, shape);
    }
  }
}

TEST_P(RowOps, RmsNormMatchesReference) {
  std::mt19937 rng(1);
  for_shapes([&](DType dtype, Shape s) {
    const auto x = random_values(s.rows * s.cols, dtype, rng);
    const auto w = random_values(s.cols, DType::kF32, rng);
    DeviceTensor in(backend(), dtype, s.rows, s.cols, s.padding);
    DeviceTensor out(backend(), dtype, s.rows, s.cols, s.padding + 1);
    DeviceTensor weight(backend(), DType::kF32, 1, s.cols);
    in.set(x);
    weight.set(w);
    backend().rms_norm(out.view(), in.view(), weight.view(), kEps);
    expect_close(out.get(), normed(x, w, s.rows, s.cols), rowwise_tolerance(dtype));
    out.check_guards();
    backend().rms_norm(in.view(), in.view(), weight.view(), kEps);  // in place
    EXPECT_EQ(in.get(), out.get());
  });
}

TEST_P(RowOps, AddRmsNormUpdatesTheResidualAndNormsIt) {
  std::mt19937 rng(2);
  for_shapes([&](DType dtype, Shape s) {
    const auto x = random_values(s.rows * s.cols, dtype, rng);
    const auto d = random_values(s.rows * s.cols, dtype, rng);
    const auto w = random_values(s.cols, DType::kF32, rng);
    DeviceTensor residual(backend(), dtype, s.rows, s.cols, s.padding);
    DeviceTensor delta(backend(), dtype, s.rows, s.cols, s.padding);
    DeviceTensor weight(backend(), DType::kF32, 1, s.cols);
    residual.set(x);
    delta.set(d);
    weight.set(w);
    backend().add_rms_norm(delta.view(), residual.view(), delta.view(), weight.view(), kEps);
    std::vector<double> sum(x.size());
    for (size_t i = 0; i < x.size(); ++i) sum[i] = rounded(x[i] + d[i], dtype);
    EXPECT_EQ(residual.get(), sum);
    expect_close(delta.get(), normed(sum, w, s.rows, s.cols), rowwise_tolerance(dtype));
    residual.check_guards();
    delta.check_guards();
  });
}

TEST_P(RowOps, NormHeadsNormsEachHeadByItself) {
  std::mt19937 rng(8);
  constexpr int64_t kHeads = 5;
  for (const DType dtype : kDTypes) {
    for (const int64_t width : {64, 96, 128, 256, 37}) {
      const auto x = random_values(7 * kHeads * width, dtype, rng);
      const auto w = random_values(width, DType::kF32, rng);
      DeviceTensor heads(backend(), dtype, 7, kHeads * width, 3);
      DeviceTensor weight(backend(), DType::kF32, 1, width);
      heads.set(x);
      weight.set(w);
      backend().norm_heads(heads.view(), weight.view(), kEps);
      expect_close(heads.get(), normed(x, w, 7 * kHeads, width), rowwise_tolerance(dtype));
      heads.check_guards();
    }
  }
}

TEST_P(RowOps, AddTakesRowsOrABiasForEveryRow) {
  std::mt19937 rng(9);
  for_shapes([&](DType dtype, Shape s) {
    const auto x = random_values(s.rows * s.cols, dtype, rng);
    const auto d = random_values(s.rows * s.cols, dtype, rng);
    const auto b = random_values(s.cols, DType::kF32, rng);
    DeviceTensor sum(backend(), dtype, s.rows, s.cols, s.padding);
    DeviceTensor delta(backend(), dtype, s.rows, s.cols, s.padding + 1);
    DeviceTensor bias(backend(), DType::kF32, 1, s.cols);
    sum.set(x);
    delta.set(d);
    bias.set(b);
    backend().add(sum.view(), delta.view());
    std::vector<double> want(x.size());
    for (size_t i = 0; i < x.size(); ++i) want[i] = rounded(x[i] + d[i], dtype);
    EXPECT_EQ(sum.get(), want);
    backend().add(sum.view(), bias.view());
    for (size_t i = 0; i < x.size(); ++i) want[i] += b[i % static_cast<size_t>(s.cols)];
    expect_close(sum.get(), want, rowwise_tolerance(dtype));
    sum.check_guards();
  });
}

TEST_P(RowOps, SoftCapBendsEveryElement) {
  std::mt19937 rng(14);
  for (const float cap : {0.25F, 30.0F}) {
    for_shapes([&](DType dtype, Shape s) {
      if (dtype != DType::kF32) return;
      const auto x = random_values(s.rows * s.cols, dtype, rng);
      DeviceTensor out(backend(), dtype, s.rows, s.cols, s.padding);
      out.set(x);
      backend().soft_cap(out.view(), cap);
      std::vector<double> want(x.size());
      for (size_t i = 0; i < x.size(); ++i) want[i] = cap * std::tanh(x[i] / cap);
      // The tanh errs by 4 u of the cap, however small x is.
      expect_close(out.get(), want, {16 * kU, 4 * kU * cap});
      out.check_guards();
    });
  }
}

TEST_P(RowOps, ScaleMultipliesEveryElement) {
  std::mt19937 rng(10);
  for_shapes([&](DType dtype, Shape s) {
    const auto x = random_values(s.rows * s.cols, dtype, rng);
    DeviceTensor out(backend(), dtype, s.rows, s.cols, s.padding);
    out.set(x);
    backend().scale(out.view(), 0.3F);
    std::vector<double> want(x.size());
    for (size_t i = 0; i < x.size(); ++i) want[i] = double{0.3F} * x[i];
    expect_close(out.get(), want, rowwise_tolerance(dtype));
    out.check_guards();
  });
}

TEST_P(RowOps, GeluMulMatchesReference) {
  std::mt19937 rng(11);
  for_shapes([&](DType dtype, Shape s) {
    auto gate_up = random_values(s.rows * 2 * s.cols, dtype, rng);
    for (double& value : gate_up) value = rounded(value * 6, dtype);
    DeviceTensor in(backend(), dtype, s.rows, 2 * s.cols, s.padding);
    DeviceTensor out(backend(), dtype, s.rows, s.cols, s.padding);
    in.set(gate_up);
    backend().gelu_mul(out.view(), in.view());
    std::vector<double> want;
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t c = 0; c < s.cols; ++c) {
        const double g = gate_up[r * 2 * s.cols + c];
        const double inner = 0.7978845608028654 * (g + 0.044715 * g * g * g);
        want.push_back(g / (1 + std::exp(-2 * inner)) * gate_up[r * 2 * s.cols + s.cols + c]);
      }
    }
    // The exponent, up to 27 where the result still counts, errs by 2 u of itself.
    Tolerance tolerance = rowwise_tolerance(dtype);
    tolerance.relative += 64 * kU;
    expect_close(out.get(), want, tolerance);
    out.check_guards();
  });
}

TEST_P(RowOps, GeluOfLargeGatesIsFinite) {
  DeviceTensor in(backend(), DType::kF32, 1, 4);
  DeviceTensor out(backend(), DType::kF32, 1, 2);
  in.set({-1e12, 1e12, 1, 1});
  backend().gelu_mul(out.view(), in.view());
  EXPECT_NEAR(out.get()[0], 0, 1e-6);
  EXPECT_EQ(out.get()[1], rounded(1e12, DType::kF32));
}

TEST_P(RowOps, SiluMulMatchesReference) {
  std::mt19937 rng(3);
  for_shapes([&](DType dtype, Shape s) {
    auto gate_up = random_values(s.rows * 2 * s.cols, dtype, rng);
    for (double& value : gate_up) value = rounded(value * 12, dtype);
    DeviceTensor in(backend(), dtype, s.rows, 2 * s.cols, s.padding);
    DeviceTensor out(backend(), dtype, s.rows, s.cols, s.padding);
    in.set(gate_up);
    backend().silu_mul(out.view(), in.view());
    std::vector<double> want;
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t c = 0; c < s.cols; ++c) {
        const double g = gate_up[r * 2 * s.cols + c];
        want.push_back(g / (1 + std::exp(-g)) * gate_up[r * 2 * s.cols + s.cols + c]);
      }
    }
    expect_close(out.get(), want, rowwise_tolerance(dtype));
    out.check_guards();
    backend().silu_mul(in.view().columns(0, s.cols), in.view());
    EXPECT_EQ(left_columns(in.get(), 2 * s.cols, s.cols), out.get()) << "in place";
  });
}

TEST_P(RowOps, SiluOfLargeGatesIsFinite) {
  DeviceTensor in(backend(), DType::kF32, 1, 4);
  DeviceTensor out(backend(), DType::kF32, 1, 2);
  in.set({-1e30, 1e30, 1, 1});
  backend().silu_mul(out.view(), in.view());
  EXPECT_NEAR(out.get()[0], 0, 1e-6);
  EXPECT_EQ(out.get()[1], rounded(1e30, DType::kF32));
}

TEST_P(RowOps, GatherRowsCopiesRows) {
  std::mt19937 rng(4);
  for (const DType dtype : kDTypes) {
    const auto x = random_values(5 * 33, dtype, rng);
    DeviceTensor in(backend(), dtype, 5, 33, 2);
    DeviceTensor out(backend(), dtype, 3, 33, 1);
    in.set(x);
    const Buffer rows = upload<int32_t>(backend(), {4, 0, 4});
    backend().gather_rows(out.view(), in.view(), rows.as<int32_t>());
    std::vector<double> want;
    for (const int row : {4, 0, 4}) want.insert(want.end(), &x[row * 33], &x[row * 33] + 33);
    EXPECT_EQ(out.get(), want);
    out.check_guards();
  }
}

TEST_P(RowOps, EmbedReadsRowsOfTheTable) {
  std::mt19937 rng(5);
  for (const DType weight : kDTypes) {
    for (const DType dtype : kDTypes) {
      const auto table = random_values(130 * 33, weight, rng);
      const Weight packed = make_weight(backend(), table, 130, 33, weight);
      DeviceTensor out(backend(), dtype, 4, 33, 3);
      const Buffer ids = upload<TokenId>(backend(), {129, 0, 63, 64});
      backend().embed(out.view(), packed, ids.as<TokenId>());
      std::vector<double> want;
      for (const int id : {129, 0, 63, 64}) {
        for (int c = 0; c < 33; ++c) want.push_back(rounded(table[id * 33 + c], dtype));
      }
      EXPECT_EQ(out.get(), want);
      out.check_guards();
    }
  }
}

TEST_P(RowOps, EmbedTakesPendingTokensFromWhatWasSampled) {
  std::mt19937 rng(6);
  const auto table = random_values(130 * 33, DType::kF32, rng);
  const Weight packed = make_weight(backend(), table, 130, 33, DType::kF32);
  DeviceTensor out(backend(), DType::kF32, 4, 33);
  const Buffer ids =
      upload<TokenId>(backend(), {pending_token(2), 7, pending_token(0), pending_token(1)});
  const Buffer sampled = upload<TokenId>(backend(), {129, -1, 64});
  backend().embed(out.view(), packed, ids.as<TokenId>(), sampled.as<TokenId>());
  const std::vector<double> got = out.get();
  const int rows[] = {64, 7, 129};  // the fourth has no token, and may be any row
  for (int t = 0; t < 3; ++t) {
    for (int c = 0; c < 33; ++c) EXPECT_EQ(got[t * 33 + c], table[rows[t] * 33 + c]);
  }
}

// Bytes that go beside the stream reach the ops enqueued afterwards, whatever ran before.
TEST_P(RowOps, UploadsAreThereForTheNextOp) {
  std::mt19937 rng(7);
  const auto table = random_values(300 * 64, DType::kF32, rng);
  const Weight packed = make_weight(backend(), table, 300, 64, DType::kF32);
  DeviceTensor out(backend(), DType::kF32, 200, 64);
  const Buffer twins[] = {upload(backend(), std::vector<TokenId>(200)),
                          upload(backend(), std::vector<TokenId>(200))};
  Fence read[2];
  for (int round = 0; round < 8; ++round) {
    std::vector<TokenId> ids(200);
    for (TokenId& id : ids) id = static_cast<TokenId>(rng() % 300);
    const Buffer& twin = twins[round % 2];
    backend().wait(read[round % 2]);
    backend().upload(twin.data(), ids.data(), ids.size() * sizeof(TokenId));
    backend().embed(out.view(), packed, twin.as<TokenId>());
    read[round % 2] = backend().fence();
    if (round % 3 != 2) continue;
    const std::vector<double> got = out.get();
    for (int t = 0; t < 200; ++t) ASSERT_EQ(got[t * 64], table[ids[t] * 64]) << round;
  }
}

}  // namespace
}  // namespace sluice
