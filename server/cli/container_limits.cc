// The files of cgroup v2 (one tree) and v1 (a tree a controller).
//
//   v2: 0::/a/b            /sys/fs/cgroup/a/b/{memory.max,memory.current,memory.stat,cpu.max}
//   v1: 5:cpu,cpuacct:/a   /sys/fs/cgroup/cpu,cpuacct/a/{cpu.cfs_quota_us,cpu.cfs_period_us}
//       7:memory:/a        /sys/fs/cgroup/memory/a/memory.{limit_in_bytes,usage_in_bytes,stat}
#include "server/cli/container_limits.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sluice {
namespace {

namespace fs = std::filesystem;

// v1 writes the largest multiple of a page where there is no limit.
constexpr int64_t kNoMemoryLimit = int64_t{1} << 60;

// The names of one controller's files in one version.
struct MemoryFiles {
  const char* limit;
  const char* usage;
  const char* cache_key;  // in memory.stat
};
constexpr MemoryFiles kMemoryV2{"memory.max", "memory.current", "inactive_file"};
constexpr MemoryFiles kMemoryV1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                                "total_inactive_file"};

// The file's first number; absent for "max" and for what cannot be read.
std::optional<int64_t> read_number(const fs::path& file) {
  std::ifstream in(file);
  int64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

int64_t read_entry(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  std::string name;
  for (int64_t value = 0; in >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

template <typename T>
void keep_least(std::optional<T>& least, T value) {
  least = least ? std::min(*least, value) : value;
}

void look_at_memory(const fs::path& group, const MemoryFiles& files, ContainerLimits& limits) {
  const std::optional<int64_t> limit = read_number(group / files.limit);
  const std::optional<int64_t> usage = read_number(group / files.usage);
  if (!limit || !usage || *limit >= kNoMemoryLimit) return;
  const int64_t held = *usage - read_entry(group / "memory.stat", files.cache_key);
  keep_least(limits.memory_bytes_free, std::max<int64_t>(*limit - held, 0));
}

void look_at_quota(std::optional<int64_t> quota, std::optional<int64_t> period,
                   ContainerLimits& limits) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return;
  keep_least(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
}

void look_at_cpu_v2(const fs::path& group, ContainerLimits& limits) {
  std::ifstream in(group / "cpu.max");  // "QUOTA PERIOD" or "max PERIOD"
  int64_t quota = 0;
  int64_t period = 0;
  if (in >> quota >> period) look_at_quota(quota, period, limits);
}

// Calls look(folder) for the group and its parents. A container may see its own group as the root,
// under another path than /proc says: then the root is all there is.
template <typename Look>
void walk_up(const fs::path& mount, const std::string& group, const Look& look) {
  fs::path path = fs::path(group).relative_path();
  std::error_code ignored;
  if (!fs::exists(mount / path, ignored)) path.clear();
  for (; !path.empty(); path = path.parent_path()) look(mount / path);
  look(mount);
}

}  // namespace

ContainerLimits read_container_limits(const std::string& root) {
  ContainerLimits limits;
  const fs::path mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      walk_up(mount, group, [&](const fs::path& folder) {
        look_at_memory(folder, kMemoryV2, limits);
        look_at_cpu_v2(folder, limits);
      });
    } else if (controllers == "memory") {
      walk_up(mount / "memory", group,
              [&](const fs::path& folder) { look_at_memory(folder, kMemoryV1, limits); });
    } else if (controllers == "cpu" || controllers == "cpu,cpuacct") {
      walk_up(mount / controllers, group, [&](const fs::path& folder) {
        look_at_quota(read_number(folder / "cpu.cfs_quota_us"),
                      read_number(folder / "cpu.cfs_period_us"), limits);
      });
    }
  }
  return limits;
}

}  // namespace sluice
