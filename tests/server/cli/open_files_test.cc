// The limit of open files goes up, and never down.
#include "server/cli/open_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace sluice {
namespace {

rlimit now() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}

TEST(OpenFiles, TheLimitRisesAsFarAsTheSystemAllows) {
  const rlimit before = now();
  rlimit low = before;
  low.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(allow_open_files(150), 150);
  EXPECT_EQ(now().rlim_cur, 150U);
  EXPECT_EQ(allow_open_files(120), 150);
  EXPECT_EQ(allow_open_files(int64_t{1} << 60), static_cast<int64_t>(before.rlim_max));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace sluice
