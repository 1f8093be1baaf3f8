// What the container (cgroup v2 or v1) leaves to this process, of memory and of CPU time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

struct ContainerLimits {
  // Bytes that may still be taken before the tightest limit on the way up. Page cache that can be
  // given back counts as free. Absent: no limit.
  std::optional<int64_t> memory_bytes_free;
  // CPU seconds a second, by the tightest quota. Absent: no quota.
  std::optional<double> cpus;
};

// Reads ROOT/proc/self/cgroup and ROOT/sys/fs/cgroup. What cannot be read is no limit.
ContainerLimits read_container_limits(const std::string& root = "");

}  // namespace sluice
