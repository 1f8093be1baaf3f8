// The best of a few runs of loops that do one thing.
#include "kernels/cpu/ceilings.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

namespace sluice {
namespace {

constexpr int kRuns = 7;                            // the best of them: the machine may be busy
constexpr size_t kMemoryBytes = size_t{256} << 20;  // of all threads: far more than caches hold

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Runs body(thread) on all threads at once; the sum of their rates of `amount` each, at best.
template <typename Body>
double best_rate(ThreadPool& pool, double amount, Body&& body) {
  double best = 0;
  std::vector<double> seconds(static_cast<size_t>(pool.num_threads()));
  for (int run = 0; run < kRuns; ++run) {
    pool.parallel_for(pool.num_threads(), [&](int64_t i, int) {
      const double start = cpu_seconds();
      body(i);
      seconds[i] = cpu_seconds() - start;
    });
    double sum = 0;
    for (const double s : seconds) sum += amount / s;
    best = std::max(best, sum);
  }
  return best;
}

// ---- multiply-adds from registers --------------------------------------------------------------

constexpr int kRounds = 1'000'000;
constexpr int kChains = 12;  // independent sums: more than latency times throughput

#if defined(__x86_64__)
// One instruction per chain of sums, all in registers.
#define SLUICE_CHAINS(op, r)                                                                      \
  op r "0\n\t" op r "1\n\t" op r "2\n\t" op r "3\n\t" op r "4\n\t" op r "5\n\t" op r "6\n\t" op r \
       "7\n\t" op r "8\n\t" op r "9\n\t" op r "10\n\t" op r "11\n\t"
#define SLUICE_CHAIN_REGISTERS \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11"

__attribute__((target("avx512f,avx512bf16"))) void multiply_avx512_bf16() {
  asm volatile("vpxord %%zmm16, %%zmm16, %%zmm16" ::: "xmm16");
  for (int i = 0; i < kRounds; ++i) {
    asm volatile(SLUICE_CHAINS("vdpbf16ps %%zmm16, %%zmm16, ", "%%zmm")::: SLUICE_CHAIN_REGISTERS);
  }
}
__attribute__((target("avx2,fma"))) void multiply_avx2() {
  asm volatile("vxorps %%ymm15, %%ymm15, %%ymm15" ::: "xmm15");
  for (int i = 0; i < kRounds; ++i) {
    asm volatile(SLUICE_CHAINS("vfmadd231ps %%ymm15, %%ymm15, ", "%%ymm")::
                     : SLUICE_CHAIN_REGISTERS);
  }
}
#undef SLUICE_CHAINS
#undef SLUICE_CHAIN_REGISTERS
#endif

typedef float V4 __attribute__((vector_size(16)));
void multiply_generic() {
  V4 acc[kChains] = {};
  V4 x = {1, 1, 1, 1};
  for (int i = 0; i < kRounds; ++i) {
    for (auto& a : acc) a = a * x + x;
  }
  volatile float sink = 0;
  for (auto& a : acc) sink = sink + a[0];
}

double peak_flops(ThreadPool& pool) {
  constexpr double kInstructions = double{kChains} * kRounds;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16"))
    return best_rate(pool, 64 * kInstructions, [](int64_t) { multiply_avx512_bf16(); });
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return best_rate(pool, 16 * kInstructions, [](int64_t) { multiply_avx2(); });
#endif
  return best_rate(pool, 8 * kInstructions, [](int64_t) { multiply_generic(); });
}

// ---- memory ------------------------------------------------------------------------------------

// Four streams at once, as wide as the compiler's vectors: one alone leaves loads waiting.
void read_all(const uint64_t* memory, size_t words) {
  constexpr size_t kStreams = 4, kLanes = 8;
  uint64_t sum[kStreams][kLanes] = {};
  const size_t stream = words / kStreams;
  for (size_t i = 0; i + kLanes <= stream; i += kLanes) {
    for (size_t s = 0; s < kStreams; ++s) {
      for (size_t lane = 0; lane < kLanes; ++lane) sum[s][lane] += memory[s * stream + i + lane];
    }
  }
  volatile uint64_t sink = 0;
  for (const auto& lanes : sum) {
    for (const uint64_t part : lanes) sink = sink + part;
  }
}

}  // namespace

Result<Ceilings> measure_cpu_ceilings(HostMemory& host, ThreadPool& pool) {
  const auto threads = static_cast<size_t>(pool.num_threads());
  const size_t words = kMemoryBytes / threads / sizeof(uint64_t);
  std::vector<Buffer> memory;
  for (size_t t = 0; t < threads; ++t) {
    Result<Buffer> own = host.allocate(words * sizeof(uint64_t));
    if (!own.ok()) return own.status();
    // Written, so that its pages are not all the one page of zeros.
    std::memset(own->data(), 1, own->bytes());
    memory.push_back(std::move(own).value());
  }
  const auto bytes = static_cast<double>(words * sizeof(uint64_t));
  Ceilings ceilings;
  ceilings.read_bytes_per_s =
      best_rate(pool, bytes, [&](int64_t i) { read_all(memory[i].as<uint64_t>(), words); });
  // Half of each thread's memory to the other half: its bytes are read, and as many written.
  ceilings.copy_bytes_per_s = best_rate(pool, bytes, [&](int64_t i) {
    auto* to = memory[i].as<std::byte>();
    const size_t half = words / 2 * sizeof(uint64_t);
    std::memcpy(to, to + half, half);
  });
  ceilings.flops_per_s = peak_flops(pool);
  return ceilings;
}

}  // namespace sluice
