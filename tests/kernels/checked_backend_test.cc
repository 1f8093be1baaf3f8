// CheckedBackend passes two good backends through every op, and catches a bad one.
#include "kernels/checked_backend.h"

#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/attend_fixture.h"

namespace sluice {
namespace {

std::unique_ptr<Backend> generic() { return make_cpu_backend(1, "generic").value(); }

// A prompt, a chunk of it again through other backends, and the ops of an MLP.
TEST(CheckedBackend, PassesBackendsThatAgree) {
  CheckedBackend checked(make_cpu_backend(1), generic(), CheckTolerance::of(DType::kF32));
  const AttendShape shape = {
      .q_heads = 4, .kv_heads = 2, .head_dim = 64, .kv = DType::kBF16, .activations = DType::kF32};
  AttendFixture fixture(checked, shape, {70}, /*seed=*/1);
  fixture.run({{0, 40}});
  const auto got = fixture.run({{0, 30}});
  expect_close(got.values(), fixture.reference(0, {.first = 40}), fixture.tolerance());

  std::mt19937 rng(2);
  const Weight weight = checked.random_weight("gate_up", 96, 64, DType::kBF16, 1, 0.2F).value();
  DeviceTensor x(checked, DType::kF32, 5, 64), y(checked, DType::kF32, 5, 96);
  DeviceTensor half(checked, DType::kF32, 5, 48), ones(checked, DType::kF32, 1, 64);
  x.set(random_values(5 * 64, DType::kF32, rng));
  ones.set(std::vector<double>(64, 1));
  const Buffer ids = upload<int32_t>(checked, {0, 3, 95, 7, 7});
  checked.embed(x.view(), weight, ids.as<TokenId>());
  checked.add_rms_norm(x.view(), x.view(), x.view(), ones.view(), 1e-5F);
  checked.gemm(y.view(), x.view(), weight);
  checked.silu_mul(half.view(), y.view());
  checked.gelu_mul(half.view(), y.view());
  checked.norm_heads(x.view(), ones.view(), 1e-5F);
  checked.add(x.view(), ones.view());
  checked.scale(x.view(), 0.5F);
  EXPECT_NE(half.get()[0], 0);
  EXPECT_EQ(checked.ops().at("gemm").calls, 1);
  EXPECT_EQ(checked.ops().at("attend").calls, 2);
  EXPECT_LE(checked.ops().at("gemm").worst, 1);
}

// Inputs rounded once are outside of the tolerance of those that keep 16 bits.
TEST(CheckedBackend, CatchesInputsThatAreRoundedMoreThanPromised) {
  CheckedBackend checked(make_cpu_backend(1, DType::kBF16), make_cpu_backend(1),
                         CheckTolerance::of(DType::kF32));
  std::mt19937 rng(3);
  const Weight weight = checked.random_weight("w", 96, 64, DType::kBF16, 1, 0.2F).value();
  DeviceTensor x(checked, DType::kF32, 40, 64), y(checked, DType::kF32, 40, 96);
  x.set(random_values(40 * 64, DType::kF32, rng));
  EXPECT_THROW(checked.gemm(y.view(), x.view(), weight), InternalError);
  EXPECT_GT(checked.ops().at("gemm").worst, 1);
}

// With no tolerance at all, two instruction sets differ in some last bit of a few norms.
TEST(CheckedBackend, NamesTheOpAndTheWorstElement) {
  CheckedBackend checked(make_cpu_backend(1), generic(), {.relative = 0, .of_row = 0});
  if (make_cpu_backend(1)->info().name == generic()->info().name)
    GTEST_SKIP() << "this machine has one instruction set only";
  std::mt19937 rng(1);
  DeviceTensor x(checked, DType::kF32, 30, 64), ones(checked, DType::kF32, 1, 64);
  x.set(random_values(30 * 64, DType::kF32, rng));
  ones.set(std::vector<double>(64, 1 / 3.0));
  std::string message;
  try {
    checked.rms_norm(x.view(), x.view(), ones.view(), 1e-5F);
  } catch (const InternalError& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("rms_norm [30, 64]"), std::string::npos) << message;
  EXPECT_NE(message.find("differ most at ["), std::string::npos) << message;
}

TEST(CheckedBackend, RefusesMemoryThatIsNotItsOwn) {
  CheckedBackend checked(make_cpu_backend(1), make_cpu_backend(1), {});
  std::vector<float> host(64);
  const TensorView x = TensorView::dense(host.data(), DType::kF32, 1, 32);
  EXPECT_THROW(checked.silu_mul(x, TensorView::dense(host.data(), DType::kF32, 1, 64)),
               InternalError);
}

}  // namespace
}  // namespace sluice
