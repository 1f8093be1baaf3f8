// Products that do more than multiply: the residual and its norm, rotary and cache.
#include "tests/kernels/backends.h"
#include "tests/kernels/tensors.h"

namespace sluice {
namespace {

class FusedGemm : public KernelTest {};
SLUICE_ON_EVERY_BACKEND(FusedGemm);

constexpr float kEps = 1e-5F;
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

struct Shape {
  int64_t tokens, in, hidden, padding;
};

std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w,
                            int64_t tokens, int64_t in, int64_t out) {
  std::vector<double> sums(static_cast<size_t>(tokens * out));
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t n = 0; n < out; ++n) {
      for (int64_t k = 0; k < in; ++k) sums[t * out + n] += x[t * in + k] * w[n * in + k];
    }
  }
  return sums;
}

std::vector<double> normed(const std::vector<double>& x, const std::vector<double>& norm) {
  const size_t cols = norm.size();
  std::vector<double> out;
  for (size_t row = 0; row < x.size(); row += cols) {
    double squares = 0;
    for (size_t c = 0; c < cols; ++c) squares += x[row + c] * x[row + c];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(cols) + kEps);
    for (size_t c = 0; c < cols; ++c) out.push_back(x[row + c] * factor * norm[c]);
  }
  return out;
}

// Row counts of every kernel, widths that they fuse and widths that they do not, rows that fast
// kernels take and rows that they do not.
constexpr Shape kShapes[] = {
    {1, 64, 64, 0},  {1, 2112, 128, 8}, {3, 96, 320, 0}, {8, 64, 192, 8},   {9, 128, 128, 0},
    {16, 72, 64, 8}, {17, 264, 192, 0}, {33, 64, 64, 8}, {64, 136, 320, 0}, {65, 64, 128, 0},
    {5, 64, 80, 0},  {2, 50, 64, 3},    {12, 40, 36, 0}};

// A weight [rows, in] and its values.
struct RandomWeight {
  std::vector<double> values;
  Weight weight;

  RandomWeight(Backend& backend, int64_t rows, int64_t in, std::mt19937& rng)
      : values(random_values(rows * in, DType::kBF16, rng)),
        weight(make_weight(backend, values, rows, in, DType::kBF16)) {}
};

TEST_P(FusedGemm, ProductJoinsTheResidualAndItsNormGoesIntoTheNextProducts) {
  std::mt19937 rng(1);
  for (const Shape& s : kShapes) {
    for (const DType dtype : kDTypes) {
      SCOPED_TRACE(testing::Message() << s.tokens << " x " << s.in << " x " << s.hidden << " + "
                                      << s.padding << " " << short_name(dtype));
      const int64_t next = 72;  // columns of the products that follow
      const RandomWeight o(backend(), s.hidden, s.in, rng), up(backend(), next, s.hidden, rng);
      const auto x = random_values(s.tokens * s.in, dtype, rng);
      const auto before = random_values(s.tokens * s.hidden, dtype, rng);
      const auto norm = random_values(s.hidden, DType::kF32, rng);
      DeviceTensor xs(backend(), dtype, s.tokens, s.in, s.padding);
      DeviceTensor residual(backend(), dtype, s.tokens, s.hidden, s.padding);
      DeviceTensor hidden(backend(), dtype, s.tokens, s.hidden, s.padding);
      DeviceTensor norms(backend(), DType::kF32, 1, s.hidden);
      xs.set(x);
      residual.set(before);
      norms.set(norm);
      const ProductInput input = backend().gemm_add_rms_norm(
          hidden.view(), residual.view(), xs.view(), o.weight, norms.view(), kEps);

      std::vector<double> sum = product(x, o.values, s.tokens, s.in, s.hidden);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += before[i];
      const DType activations = backend().info().activations;
      Tolerance close = gemm_tolerance(s.in, 0.34, DType::kBF16, dtype, activations);
      // The product may be rounded on its own; four standard deviations of it.
      close.absolute += rounding_of(dtype) * 4 * 0.34 * std::sqrt(static_cast<double>(s.in));
      const std::vector<double> kept = residual.get();
      expect_close(kept, sum, close);
      residual.check_guards();
      hidden.check_guards();

      // bf16 rows are rounded once more on their way into the products.
      const DType loss = dtype == DType::kBF16 ? dtype : activations;
      const Tolerance after = gemm_tolerance(s.hidden, 0.34, DType::kBF16, DType::kF32, loss);
      const auto want = product(normed(kept, norm), up.values, s.tokens, s.hidden, next);
      DeviceTensor ys(backend(), DType::kF32, s.tokens, next);
      for (int round = 0; round < 2; ++round) {  // an input may be used again
        backend().gemm(ys.view(), input, up.weight);
        expect_close(ys.get(), want, after);
      }
      const int64_t last = s.tokens - 1;  // of a slice
      backend().gemm(ys.view().head(1), input.row_range(last, 1), up.weight);
      auto got = ys.get();
      got.resize(static_cast<size_t>(next));
      expect_close(got, {want.end() - next, want.end()}, after);

      DeviceTensor scratch(backend(), dtype, s.tokens, next);
      DeviceTensor gated(backend(), dtype, s.tokens, next / 2);
      backend().gemm_silu_mul(gated.view(), scratch.view(), input, up.weight);
      std::vector<double> combined;
      double largest = 1;
      for (int64_t t = 0; t < s.tokens; ++t) {
        for (int64_t i = 0; i < next / 2; ++i) {
          const double gate = want[t * next + i], value = want[t * next + next / 2 + i];
          combined.push_back(gate / (1 + std::exp(-gate)) * value);
          largest = std::max({largest, std::fabs(gate), std::fabs(value)});
        }
      }
      const double off = after.absolute + 2 * rounding_of(dtype) * largest;
      expect_close(gated.get(), combined, {2 * rounding_of(dtype), 2.1 * off * largest});
    }
  }
}

// The kernels of a bucket of row counts add up in one order, fused or not.
TEST_P(FusedGemm, ARowsBitsDoNotDependOnOtherRowsOfItsBucket) {
  constexpr int64_t kIn = 328, kHidden = 192, kNext = 72, kRows = 64;
  std::mt19937 rng(2);
  const DType dtype = backend().activation_dtype(DType::kBF16);
  if (dtype == DType::kF32 && !backend().batch_invariant())
    GTEST_SKIP() << "not promised for float32 activations by this backend";
  const RandomWeight o(backend(), kHidden, kIn, rng), up(backend(), kNext, kHidden, rng);
  const auto before = random_values(kRows * kHidden, dtype, rng);
  DeviceTensor xs(backend(), dtype, kRows, kIn), residual(backend(), dtype, kRows, kHidden);
  DeviceTensor hidden(backend(), dtype, kRows, kHidden), norm(backend(), DType::kF32, 1, kHidden);
  DeviceTensor ys(backend(), DType::kF32, kRows, kNext);
  xs.set(random_values(kRows * kIn, dtype, rng));
  norm.set(random_values(kHidden, DType::kF32, rng));
  const auto run = [&](int64_t rows) {
    residual.set(before);
    const ProductInput input =
        backend().gemm_add_rms_norm(hidden.view().head(rows), residual.view().head(rows),
                                    xs.view().head(rows), o.weight, norm.view(), kEps);
    backend().gemm(ys.view().head(rows), input, up.weight);
    return std::pair(residual.get(), ys.get());
  };
  for (const auto& [most, fewest] : {std::pair{8, 1}, {16, 9}, {32, 17}, {64, 33}}) {
    const auto [sums, products] = run(most);
    for (const int64_t rows : {fewest, most - 1, most}) {
      const auto [sums_of_few, products_of_few] = run(rows);
      for (int64_t i = 0; i < rows * kHidden; ++i) ASSERT_EQ(sums[i], sums_of_few[i]) << rows;
      for (int64_t i = 0; i < rows * kNext; ++i) ASSERT_EQ(products[i], products_of_few[i]) << rows;
    }
  }
}

// ---- gemm_rope_append_kv -----------------------------------------------------------------------

struct Heads {
  int q, kv, dim;
};

// Two sequences, the second amid its blocks, with `tokens` new tokens in all.
RaggedBatch two_sequences(int tokens) {
  const int first = tokens / 3, second = tokens - first;
  RaggedBatch batch;
  batch.q_indptr = {0};
  batch.block_indptr = {0};
  const auto add = [&](int done, int count, std::vector<BlockId> blocks) {
    for (int t = 0; t < count; ++t) {
      batch.token_ids.push_back(0);
      batch.positions.push_back(done + t);
    }
    batch.q_indptr.push_back(batch.num_tokens());
    batch.kv_lens.push_back(done + count);
    batch.blocks.insert(batch.blocks.end(), blocks.begin(), blocks.end());
    batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));
  };
  if (first > 0) add(0, first, {3, 1});
  add(61, second, {5, 0, 2});
  batch.validate(/*num_blocks=*/6, /*vocab_size=*/1);
  return batch;
}

// A cache of one layer, zeroed.
struct Cache {
  Buffer arena;
  KvCacheView view;

  Cache(Backend& backend, Heads heads, DType dtype) {
    view.num_kv_heads = heads.kv;
    view.head_dim = heads.dim;
    view.dtype = dtype;
    view.v_offset = static_cast<int64_t>(view.tile_bytes()) * heads.kv;
    view.block_bytes = 2 * view.v_offset;
    const std::vector<std::byte> zeros(static_cast<size_t>(6 * view.block_bytes));
    arena = upload(backend, zeros);
    view.arena = arena.as<std::byte>();
  }
};

std::vector<double> elements(Backend& backend, const Cache& cache) {
  const int64_t count =
      6 * cache.view.block_bytes / static_cast<int64_t>(size_of(cache.view.dtype));
  std::vector<std::byte> bytes(static_cast<size_t>(6 * cache.view.block_bytes));
  backend.copy(bytes.data(), cache.arena.data(), bytes.size());
  backend.synchronize();
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(cache.view.dtype == DType::kF32
                         ? double{reinterpret_cast<const float*>(bytes.data())[i]}
                         : to_float(reinterpret_cast<const BF16*>(bytes.data())[i]));
  }
  return values;
}

// Beside gemm and rope_append_kv one after the other, in float32 between.
TEST_P(FusedGemm, ProductIsRotatedAndAppended) {
  constexpr int64_t kIn = 160, kPositions = 128;
  std::mt19937 rng(3);
  for (const Heads heads : {Heads{4, 2, 64}, Heads{4, 1, 128}, Heads{2, 2, 96}, Heads{3, 3, 256}}) {
    if (!backend().supports_head_dim(heads.dim)) continue;
    const int64_t q_width = heads.q * heads.dim, width = q_width + 2 * heads.kv * heads.dim;
    const RandomWeight qkv(backend(), width, kIn, rng);
    std::vector<float> cosines, sines;
    for (int i = 0; i < kPositions * heads.dim / 2; ++i) {
      cosines.push_back(std::cos(0.37F * static_cast<float>(i)));
      sines.push_back(std::sin(0.37F * static_cast<float>(i)));
    }
    const Buffer cos = upload(backend(), cosines), sin = upload(backend(), sines);
    const RopeTable rope{cos.as<float>(), sin.as<float>(), kPositions, heads.dim};
    for (const int tokens : {1, 5, 8, 20}) {
      for (const auto& [dtype, kv] : {std::pair{DType::kBF16, DType::kBF16},
                                      {DType::kF32, DType::kBF16},
                                      {DType::kBF16, DType::kF32}}) {
        SCOPED_TRACE(testing::Message() << tokens << " tokens, heads of " << heads.dim << ", "
                                        << short_name(dtype) << ", kv " << short_name(kv));
        const RaggedBatch batch = two_sequences(tokens);
        std::vector<Buffer> uploads;
        const RaggedBatchView view = upload_batch(backend(), batch, uploads);
        DeviceTensor xs(backend(), dtype, tokens, kIn), rows(backend(), dtype, tokens, width);
        DeviceTensor want(backend(), DType::kF32, tokens, width);
        xs.set(random_values(tokens * kIn, dtype, rng));
        const Cache cache(backend(), heads, kv), reference(backend(), heads, kv);
        backend().gemm_rope_append_kv(rows.view(), xs.view(), qkv.weight, heads.q, rope, view,
                                      cache.view);
        backend().gemm(want.view(), xs.view(), qkv.weight);
        backend().rope_append_kv(want.view(), heads.q, rope, view, reference.view);
        const auto q_of = [&](const DeviceTensor& tensor) {
          std::vector<double> q;
          const std::vector<double> all = tensor.get();
          for (int t = 0; t < tokens; ++t)
            q.insert(q.end(), all.begin() + t * width, all.begin() + t * width + q_width);
          return q;
        };
        // A product of size 3.4 may be rounded on its own, and both of a pair are.
        const Tolerance close{3 * kB, 8 * rounding_of(dtype)};
        expect_close(q_of(rows), q_of(want), close);
        expect_close(elements(backend(), cache), elements(backend(), reference), close);
        rows.check_guards();
      }
    }
  }
}

}  // namespace
}  // namespace sluice
