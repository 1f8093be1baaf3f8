// What OpTimer reports, not how long anything takes.
#include "server/cli/op_timer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

constexpr Ceilings kCeilings{.read_bytes_per_s = 1e9, .copy_bytes_per_s = 2e9, .flops_per_s = 1e12};

class OpTimerTest : public testing::Test {
 protected:
  OpTimer timer(const std::string& only) {
    return OpTimer(*backend_, kCeilings, /*cpu_clock=*/true, only, report_);
  }
  std::unique_ptr<Backend> backend_ = make_cpu_backend(1);
  Report report_;
};

TEST_F(OpTimerTest, FloorIsTheLargerOfTrafficAndArithmetic) {
  OpTimer all = timer("");
  int64_t next = 0;
  const auto body = [&](int64_t i) { EXPECT_EQ(i, next++); };
  all.time("reads", "a", {.bytes = 1e6, .flops = 1e6}, body);
  next = 0;
  all.time("copies", "b", {.bytes = 1e6, .writes = true}, body);
  next = 0;
  all.time("adds", "c", {.bytes = 1, .flops = 5e9}, body);
  const auto rows = nlohmann::json::parse(report_.json())["ops"];
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_DOUBLE_EQ(rows[0]["floor_us"], 1000);
  EXPECT_DOUBLE_EQ(rows[1]["floor_us"], 500);
  EXPECT_DOUBLE_EQ(rows[2]["floor_us"], 5000);
  for (const auto& row : rows)
    EXPECT_DOUBLE_EQ(row["floor/time"].get<double>() * row["us"].get<double>(), row["floor_us"]);
}

TEST_F(OpTimerTest, SkipsWhatWouldTakeTooLongAndSaysWhy) {
  OpTimer all = timer("");
  all.time("attend", "32k", {.flops = 1e14}, [](int64_t) { FAIL() << "was run"; });
  const auto report = nlohmann::json::parse(report_.json());
  EXPECT_FALSE(report.contains("ops"));
  EXPECT_EQ(report["skipped"][0]["why"], "takes 100 s at the very least");
}

TEST_F(OpTimerTest, WantsTheOpsWhoseNamesContainTheWord) {
  EXPECT_TRUE(timer("").wants("gemm qkv"));
  EXPECT_TRUE(timer("gemm").wants("gemm qkv"));
  EXPECT_FALSE(timer("gemm").wants("attend decode"));
}

}  // namespace
}  // namespace sluice
