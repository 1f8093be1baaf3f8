// Limits of cgroup v2 and v1, read from made-up trees.
#include "server/cli/container_limits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

namespace fs = std::filesystem;

class ContainerLimitsTest : public testing::Test {
 protected:
  ContainerLimitsTest() { fs::remove_all(root_); }
  ~ContainerLimitsTest() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text << "\n";
  }
  ContainerLimits read() const { return read_container_limits(root_); }

 private:
  const std::string root_ = ::testing::TempDir() + "sluice_container_limits_test";
};

TEST_F(ContainerLimitsTest, NothingToReadIsNoLimit) {
  EXPECT_FALSE(read().memory_bytes_free);
  EXPECT_FALSE(read().cpus);
  write("/proc/self/cgroup", "not:a\n::\n0::/");
  write("/sys/fs/cgroup/memory.max", "max");
  write("/sys/fs/cgroup/memory.current", "5");
  write("/sys/fs/cgroup/cpu.max", "max 100000");
  EXPECT_FALSE(read().memory_bytes_free);
  EXPECT_FALSE(read().cpus);
}

TEST_F(ContainerLimitsTest, TheTightestGroupOnTheWayUpCounts) {
  write("/proc/self/cgroup", "0::/pod/box");
  write("/sys/fs/cgroup/pod/memory.max", "1000");
  write("/sys/fs/cgroup/pod/memory.current", "400");
  write("/sys/fs/cgroup/pod/cpu.max", "150000 100000");
  write("/sys/fs/cgroup/pod/box/memory.max", "900");
  write("/sys/fs/cgroup/pod/box/memory.current", "400");
  write("/sys/fs/cgroup/pod/box/memory.stat", "anon 100\ninactive_file 250\nslab 5");
  write("/sys/fs/cgroup/pod/box/cpu.max", "max 100000");
  EXPECT_EQ(read().memory_bytes_free, 600);  // the box alone would leave 750
  EXPECT_EQ(read().cpus, 1.5);
}

TEST_F(ContainerLimitsTest, AGroupThatIsNotSeenIsTheRoot) {
  write("/proc/self/cgroup", "0::/kubepods/burstable/pod1");
  write("/sys/fs/cgroup/memory.max", "100");
  write("/sys/fs/cgroup/memory.current", "120");
  write("/sys/fs/cgroup/cpu.max", "50000 100000");
  EXPECT_EQ(read().memory_bytes_free, 0);
  EXPECT_EQ(read().cpus, 0.5);
}

TEST_F(ContainerLimitsTest, ReadsTheTreesOfVersionOne) {
  write("/proc/self/cgroup", "7:memory:/box\n5:cpu,cpuacct:/box\n1:name=systemd:/box\n0::/box");
  write("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "4096");
  write("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "2048");
  write("/sys/fs/cgroup/memory/box/memory.stat", "cache 9\ntotal_inactive_file 48");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1");
  write("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "300000");
  write("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000");
  EXPECT_EQ(read().memory_bytes_free, 2096);
  EXPECT_EQ(read().cpus, 3.0);
}

}  // namespace
}  // namespace sluice
