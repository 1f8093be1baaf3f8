// The soft limit moves up to the hard one.
#include "server/cli/open_files.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/check.h"

namespace sluice {

int64_t allow_open_files(int64_t wanted) {
  rlimit limit{};
  SLUICE_CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlim_t raised = std::min(static_cast<rlim_t>(wanted), limit.rlim_max);
  if (raised > limit.rlim_cur) {
    limit.rlim_cur = raised;
    setrlimit(RLIMIT_NOFILE, &limit);  // what holds is read again
    SLUICE_CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  return static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, INT64_MAX));
}

}  // namespace sluice
