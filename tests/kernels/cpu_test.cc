// What only the CPU backend has: its thread pool, its choice of instruction set, its elementary
// functions.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/attend_fixture.h"

namespace sluice {
namespace {

TEST(ThreadPool, RunsEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (const int count : {0, 1, 2, 7, 300}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      std::atomic<int> wrong_threads{0};
      pool.parallel_for(count, [&](int64_t i, int thread) {
        ++calls[i];
        if (thread < 0 || thread >= threads) ++wrong_threads;
      });
      for (const auto& n : calls) EXPECT_EQ(n, 1);
      EXPECT_EQ(wrong_threads, 0);
    }
  }
}

// Jobs that follow each other at once, and jobs whose workers sleep: what a job wrote is seen by
// its caller, and no worker takes an index of a job that is over.
TEST(ThreadPool, JobsDoNotMix) {
  ThreadPool pool(4);
  for (int job = 0; job < 2000; ++job) {
    if (job % 500 == 499) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::vector<int64_t> written(static_cast<size_t>(job % 9 + 1));
    pool.parallel_for(job % 9 + 1, [&](int64_t i, int) { written[i] = job + i; });
    for (size_t i = 0; i < written.size(); ++i)
      ASSERT_EQ(written[i], job + static_cast<int64_t>(i));
  }
}

TEST(CpuBackend, NamesItsInstructionSetAndRefusesUnknownOnes) {
  const auto tables = cpu_kernel_tables();
  ASSERT_FALSE(tables.empty());
  EXPECT_STREQ(tables.back()->name, "generic");
  EXPECT_EQ(make_cpu_backend(2, "generic").value()->info().name, "cpu generic, 2 threads");
  const auto unknown = make_cpu_backend(1, "avx1024");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("generic"), std::string::npos);
}

TEST(CpuBackend, AllocationsLargerThanMemoryAreRefused) {
  const auto backend = make_cpu_backend(1);
  const auto buffer = backend->allocate(size_t{1} << 50, Memory::kDevice);
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(buffer.status().message().find("1125899906842624"), std::string::npos);
}

// A long decode is cut across threads, a short one is not, and a batch is shared out: one result.
TEST(CpuBackend, ThreadsChangeNoBit) {
  const AttendShape shape = {
      .q_heads = 4, .kv_heads = 2, .head_dim = 64, .kv = DType::kBF16, .activations = DType::kF32};
  const auto one = make_cpu_backend(1), three = make_cpu_backend(3);
  AttendFixture alone(*one, shape, {2300, 90}, /*seed=*/1);
  AttendFixture shared(*three, shape, {2300, 90}, /*seed=*/1);
  for (AttendFixture* fixture : {&alone, &shared}) fixture->write({{0, 2200}, {1, 50}});
  const std::vector<std::vector<Chunk>> steps = {{{0, 1}}, {{1, 1}}, {{0, 90}, {1, 30}}, {{0, 7}}};
  for (const std::vector<Chunk>& step : steps)
    EXPECT_TRUE(alone.run(step).bytes == shared.run(step).bytes);
}

TEST(CpuKernels, ExpIsWithinFourRoundingErrors) {
  std::vector<float> x;
  for (float v = -87.0F; v < 88.0F; v += 0.0037F) x.push_back(v);
  for (float v = -0.01F; v < 0.01F; v += 1e-5F) x.push_back(v);
  for (const KernelTable* table : cpu_kernel_tables()) {
    std::vector<float> y(x.size());
    table->exp(y.data(), x.data(), static_cast<int64_t>(x.size()));
    std::vector<double> want;
    for (const float v : x) want.push_back(std::exp(static_cast<double>(v)));
    expect_close({y.begin(), y.end()}, want, {4 * kU, 0});
  }
}

TEST(CpuKernels, ExpOfTheEndsOfTheLine) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-inf, -1e30F, -200, -88, 0, std::nanf("")};
  for (const KernelTable* table : cpu_kernel_tables()) {
    std::vector<float> y(x.size());
    table->exp(y.data(), x.data(), static_cast<int64_t>(x.size()));
    for (int i = 0; i < 4; ++i) EXPECT_EQ(y[i], 0) << x[i];
    EXPECT_EQ(y[4], 1);
    EXPECT_TRUE(std::isnan(y[5]));
  }
}

}  // namespace
}  // namespace sluice
