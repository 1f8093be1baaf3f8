#include "base/types.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/log.h"
#include "base/status.h"

namespace sluice {
namespace {

TEST(BF16, RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0F).bits, 0x3f80);
  EXPECT_EQ(to_bf16(1.00390625F).bits, 0x3f80);  // halfway between 0x3f80 and 0x3f81: to even
  EXPECT_EQ(to_bf16(1.01171875F).bits, 0x3f82);  // halfway between 0x3f81 and 0x3f82: to even
  EXPECT_EQ(to_float(to_bf16(-2.5F)), -2.5F);
}

TEST(BF16, KeepsNaNAndInfinity) {
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isinf(to_float(to_bf16(std::numeric_limits<float>::infinity()))));
}

TEST(Half, ConvertsNormalsSubnormalsAndSpecials) {
  EXPECT_EQ(half_to_float(0x3c00), 1.0F);
  EXPECT_EQ(half_to_float(0xc000), -2.0F);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24F);
  EXPECT_EQ(half_to_float(0x7bff), 65504.0F);
  EXPECT_TRUE(std::isinf(half_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(half_to_float(0x7e00)));
}

TEST(Check, PrintsBothValuesAndTheFile) {
  try {
    SLUICE_CHECK_EQ(1 + 1, 3);
    FAIL() << "did not throw";
  } catch (const InternalError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("types_test.cc:"), std::string::npos) << message;
    EXPECT_NE(message.find("(2 vs 3)"), std::string::npos) << message;
  }
}

TEST(Check, KeepsTemporariesAliveWhileItCompares) {
  const int one = 1;
  SLUICE_CHECK_EQ(std::min(one, one + 1), 1);
  EXPECT_THROW(SLUICE_CHECK_LT(std::max(one, one + 1), one), InternalError);
}

TEST(Result, ValueOfAFailureThrowsItsMessage) {
  const Result<int> result = invalid_argument("seed is -1; it must be at least 0", "seed");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().field(), "seed");
  EXPECT_THROW((void)result.value(), InternalError);
}

TEST(Log, RefusesAnUnknownLevel) {
  EXPECT_FALSE(set_log_level("loud").ok());
  EXPECT_TRUE(set_log_level("info").ok());
}

}  // namespace
}  // namespace sluice
