#include "tests/bench/ceilings.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <functional>
#include <vector>

namespace sluice {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The best of a few runs: the machine may be busy.
double fastest(const std::function<void()>& body) {
  double best = 1e9;
  for (int run = 0; run < 7; ++run) {
    const double start = cpu_seconds();
    body();
    best = std::min(best, cpu_seconds() - start);
  }
  return best;
}

constexpr int kRounds = 2'000'000;
constexpr int kChains = 12;  // independent sums: more than latency times throughput

#if defined(__x86_64__)
#define SLUICE_CHAIN(n) "vdpbf16ps %%zmm16, %%zmm16, %%zmm" #n "\n\t"
__attribute__((target("avx512f,avx512bf16"))) void multiply_bf16() {
  asm volatile("vpxord %%zmm16, %%zmm16, %%zmm16" ::: "xmm16");
  for (int i = 0; i < kRounds; ++i) {
    asm volatile(SLUICE_CHAIN(0) SLUICE_CHAIN(1) SLUICE_CHAIN(2) SLUICE_CHAIN(3) SLUICE_CHAIN(4)
                     SLUICE_CHAIN(5) SLUICE_CHAIN(6) SLUICE_CHAIN(7) SLUICE_CHAIN(8) SLUICE_CHAIN(9)
                         SLUICE_CHAIN(10) SLUICE_CHAIN(11)
                 :
                 :
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                   "xmm10", "xmm11");
  }
}
#undef SLUICE_CHAIN
#endif

typedef float V4 __attribute__((vector_size(16)));
float multiply_f32() {
  V4 acc[kChains] = {};
  V4 x = {1, 1, 1, 1};
  for (int i = 0; i < kRounds; ++i) {
    for (auto& a : acc) a = a * x + x;
  }
  float sum = 0;
  for (auto& a : acc) sum += a[0];
  return sum;
}

}  // namespace

double peak_flops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) {
    const double seconds = fastest(multiply_bf16);
    return 64.0 * kChains * kRounds / seconds;
  }
#endif
  volatile float sink = 0;
  const double seconds = fastest([&] { sink = multiply_f32(); });
  return 8.0 * kChains * kRounds / seconds;
}

double peak_read_bandwidth() {
  std::vector<uint64_t> memory(size_t{32} << 20, 1);  // 256 MiB
  volatile uint64_t sink = 0;
  const double seconds = fastest([&] {
    uint64_t sum[8] = {};
    for (size_t i = 0; i < memory.size(); i += 8) {
      for (int lane = 0; lane < 8; ++lane) sum[lane] += memory[i + lane];
    }
    for (const uint64_t part : sum) sink = sink + part;
  });
  return static_cast<double>(memory.size() * sizeof(uint64_t)) / seconds;
}

}  // namespace sluice
