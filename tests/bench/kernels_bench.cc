// Ops and whole steps of the CPU backend beside the machine's ceilings. One thread unless
// --threads=N comes first. Figures are per CPU second, so that other load disturbs them little.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/ceilings.h"

namespace sluice {
namespace {

benchmark::Counter rate(double per_iteration) {
  return {per_iteration, benchmark::Counter::kIsIterationInvariantRate,
          benchmark::Counter::kIs1000};
}

void bench_gemm(benchmark::State& state, Backend& backend, int64_t tokens, int64_t in, int64_t out,
                DType dtype) {
  const Weight weight = backend.random_weight("w", out, in, dtype, 1, 0.1F).value();
  std::vector<float> x(static_cast<size_t>(tokens * in), 0.5F);
  std::vector<float> y(static_cast<size_t>(tokens * out));
  for (auto _ : state) {
    backend.gemm(TensorView::dense(y.data(), DType::kF32, tokens, out),
                 TensorView::dense(x.data(), DType::kF32, tokens, in), weight);
  }
  state.counters["FLOP/s"] = rate(2.0 * static_cast<double>(tokens * in * out));
  state.counters["B/s"] = rate(static_cast<double>(weight.storage.bytes()));
}

// One layer's attention of `seqs` sequences with `new_tokens` queries each at kv_len keys.
void bench_attend(benchmark::State& state, Backend& backend, const ModelShape& shape, int seqs,
                  int new_tokens, int kv_len) {
  KvCacheView kv;
  kv.num_kv_heads = shape.kv_heads;
  kv.head_dim = shape.head_dim;
  kv.k_offset = 0;
  kv.v_offset = static_cast<int64_t>(kv.tile_bytes()) * shape.kv_heads;
  kv.block_bytes = 2 * kv.v_offset;
  RaggedBatch batch;
  batch.q_indptr = batch.block_indptr = {0};
  for (int s = 0; s < seqs; ++s) {
    for (int t = 0; t < new_tokens; ++t) {
      batch.token_ids.push_back(0);
      batch.positions.push_back(kv_len - new_tokens + t);
    }
    batch.q_indptr.push_back(batch.num_tokens());
    batch.kv_lens.push_back(kv_len);
    for (int b = 0; b < ceil_div(kv_len, kBlockTokens); ++b)
      batch.blocks.push_back(static_cast<BlockId>(batch.blocks.size()));
    batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));
  }
  const size_t bytes = static_cast<size_t>(kv.block_bytes) * batch.blocks.size();
  const Buffer arena = backend.allocate(bytes, Memory::kDevice).value();
  std::memset(arena.data(), 0x3c, bytes);
  kv.arena = arena.as<std::byte>();
  const int64_t width = int64_t{shape.q_heads} * shape.head_dim;
  const int64_t tokens = batch.num_tokens();
  std::vector<float> q(static_cast<size_t>(tokens * width), 0.5F), out(q.size());
  const RaggedBatchView view = RaggedBatchView::of(batch);
  for (auto _ : state) {
    backend.attend(TensorView::dense(out.data(), DType::kF32, tokens, width),
                   TensorView::dense(q.data(), DType::kF32, tokens, width), shape.q_heads, 0.125F,
                   view, kv, nullptr);
  }
  double pairs = 0;  // (query, key) pairs that causality leaves
  for (const int32_t position : batch.positions) pairs += position + 1;
  state.counters["FLOP/s"] = rate(4.0 * pairs * static_cast<double>(width));
  state.counters["B/s"] = rate(static_cast<double>(bytes));
}

void bench_rows(benchmark::State& state, Backend& backend, bool silu, int64_t rows, int64_t cols) {
  std::vector<float> x(static_cast<size_t>(rows * 2 * cols), 0.5F), y(x.size(), 0.25F);
  std::vector<float> weight(static_cast<size_t>(cols), 1.0F);
  const auto view = [&](std::vector<float>& v, int64_t n) {
    return TensorView::dense(v.data(), DType::kF32, rows, n);
  };
  for (auto _ : state) {
    if (silu) {
      backend.silu_mul(view(y, cols), view(x, 2 * cols));
    } else {
      backend.rms_norm(view(y, cols), view(x, cols),
                       TensorView::dense(weight.data(), DType::kF32, 1, cols), 1e-5F);
    }
  }
  state.counters["elem/s"] = rate(static_cast<double>(rows * cols));
}

void bench_sample(benchmark::State& state, Backend& backend, int vocab, float temperature,
                  float top_p) {
  std::vector<float> logits(static_cast<size_t>(vocab));
  for (int i = 0; i < vocab; ++i)
    logits[i] = static_cast<float>((i * 2654435761U >> 8) % 1000) * 0.012F;
  SamplingBatch batch;
  batch.temperature = {temperature};
  batch.top_p = {top_p};
  batch.min_p = {0};
  batch.top_k = {0};
  batch.repetition_penalty = {1};
  batch.presence_penalty = batch.frequency_penalty = {0};
  batch.seed = {1};
  batch.draw = {1};
  batch.target = {-1};
  batch.num_top = {0};
  batch.history_indptr = batch.bias_indptr = batch.allowed_indptr = batch.banned_indptr = {0, 0};
  SampledTokens out;
  for (auto _ : state)
    backend.sample(out, TensorView::dense(logits.data(), DType::kF32, 1, vocab), batch);
}

// The models live as long as the benches: building one costs more than running it.
BenchModel& model_of(Backend& backend, const ModelShape& shape) {
  static std::map<std::string, std::unique_ptr<BenchModel>> models;
  auto& model = models[shape.name];
  if (model == nullptr) model = std::make_unique<BenchModel>(backend, shape, 32, 8448, 2048);
  return *model;
}

void bench_step(benchmark::State& state, Backend& backend, const ModelShape& shape, int seqs,
                int new_tokens, int kv_len) {
  BenchModel& model = model_of(backend, shape);
  model.step(seqs, new_tokens, kv_len);
  for (auto _ : state) model.step(seqs, new_tokens, kv_len);
  state.counters["tok/s"] = rate(static_cast<double>(seqs) * new_tokens);
}

void register_all(Backend& backend) {
  const auto add = [](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMicrosecond);
  };
  for (const ModelShape& m : {kTiny, kSmol135m}) {
    const std::string name = m.name;
    const int64_t q = int64_t{m.q_heads} * m.head_dim;
    const struct {
      const char* what;
      int64_t in, out;
    } gemms[] = {{"qkv", m.hidden, q + 2 * m.kv_heads * m.head_dim},
                 {"out", q, m.hidden},
                 {"gate_up", m.hidden, 2 * m.intermediate},
                 {"down", m.intermediate, m.hidden},
                 {"head", m.hidden, m.vocab}};
    for (const auto& g : gemms) {
      for (const int64_t tokens : {1, 4, 8, 32, 512}) {
        if (tokens > 32 && g.out == m.vocab) continue;
        add("gemm/" + name + "/" + g.what + "/" + std::to_string(tokens),
            [=, &backend](benchmark::State& s) {
              bench_gemm(s, backend, tokens, g.in, g.out, DType::kBF16);
            });
      }
    }
    add("gemm_f32/" + name + "/gate_up/512", [=, &backend](benchmark::State& s) {
      bench_gemm(s, backend, 512, m.hidden, 2 * m.intermediate, DType::kF32);
    });
    const struct {
      int seqs, new_tokens, kv_len;
    } steps[] = {{1, 1, 64},   {1, 1, 1024},  {1, 1, 8192},   {8, 1, 128},
                 {32, 1, 128}, {1, 512, 512}, {1, 2048, 2048}};
    for (const auto& st : steps) {
      const std::string suffix = name + "/" + std::to_string(st.seqs) + "x" +
                                 std::to_string(st.new_tokens) + "@" + std::to_string(st.kv_len);
      add("attend/" + suffix, [=, &backend](benchmark::State& s) {
        bench_attend(s, backend, m, st.seqs, st.new_tokens, st.kv_len);
      });
      add("step/" + suffix, [=, &backend](benchmark::State& s) {
        bench_step(s, backend, m, st.seqs, st.new_tokens, st.kv_len);
      });
    }
    add("rms_norm/" + name + "/512",
        [=, &backend](benchmark::State& s) { bench_rows(s, backend, false, 512, m.hidden); });
    add("silu_mul/" + name + "/512",
        [=, &backend](benchmark::State& s) { bench_rows(s, backend, true, 512, m.intermediate); });
    add("sample/" + name + "/greedy",
        [=, &backend](benchmark::State& s) { bench_sample(s, backend, m.vocab, 0, 1); });
    add("sample/" + name + "/temperature",
        [=, &backend](benchmark::State& s) { bench_sample(s, backend, m.vocab, 1, 1); });
    add("sample/" + name + "/top_p",
        [=, &backend](benchmark::State& s) { bench_sample(s, backend, m.vocab, 1, 0.9F); });
  }
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  int threads = 1;
  std::string isa;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--threads=", 10) == 0) threads = std::atoi(argv[i] + 10);
    if (std::strncmp(argv[i], "--isa=", 6) == 0) isa = argv[i] + 6;
  }
  benchmark::Initialize(&argc, argv);
  auto backend = sluice::make_cpu_backend(threads, isa).value();
  std::printf("%s; ceilings of one core: %.1f GFLOP/s, %.1f GB/s\n", backend->info().name.c_str(),
              sluice::peak_flops() * 1e-9, sluice::peak_read_bandwidth() * 1e-9);
  sluice::register_all(*backend);
  benchmark::RunSpecifiedBenchmarks();
}
