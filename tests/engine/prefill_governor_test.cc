#include "engine/prefill_governor.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// Runs `steps` mixed steps of a device that takes fixed_ms and ms_per_token; returns the last time.
double drive(PrefillGovernor& governor, int steps, double fixed_ms, double ms_per_token) {
  double step_ms = 0;
  for (int i = 0; i < steps; ++i) {
    step_ms = fixed_ms + ms_per_token * governor.budget();
    governor.observe(/*decodes=*/4, governor.budget(), step_ms);
  }
  return step_ms;
}

TEST(PrefillGovernor, FindsTheBudgetThatFillsTheGap) {
  PrefillGovernor governor(50, 32, 2048);
  EXPECT_EQ(governor.budget(), 32);
  EXPECT_NEAR(drive(governor, 20, 10, 0.1), 50, 1);
  EXPECT_NEAR(drive(governor, 20, 10, 0.4), 50, 1) << "the context grew, a token costs more";
  EXPECT_NEAR(drive(governor, 20, 30, 0.05), 50, 1) << "more decodes run";
}

TEST(PrefillGovernor, NeverGoesUnderTheMinimumOrOverTheStep) {
  PrefillGovernor governor(50, 32, 512);
  drive(governor, 20, 500, 1);
  EXPECT_EQ(governor.budget(), 32);
  drive(governor, 20, 1, 0.001);
  EXPECT_EQ(governor.budget(), 512);
  EXPECT_EQ(PrefillGovernor(50, 100, 7).budget(), 7);
}

TEST(PrefillGovernor, LearnsOnlyFromMixedStepsThatSaySomething) {
  PrefillGovernor governor(50, 32, 2048);
  drive(governor, 20, 10, 0.1);
  const int budget = governor.budget();
  governor.observe(0, 2048, 500);  // nobody decoded
  governor.observe(4, 0, 500);     // no prompt
  governor.observe(4, 3, 12);      // the prompt's short end
  EXPECT_EQ(governor.budget(), budget);
}

TEST(PrefillGovernor, BeginsWhereStepsOfPromptsAloneSay) {
  PrefillGovernor governor(50, 32, 2048);
  governor.observe(0, 1000, 100);
  EXPECT_EQ(governor.budget(), 500);
  governor.observe(0, 20, 5);  // a short prompt: mostly what every step costs
  EXPECT_EQ(governor.budget(), 500);
  governor.observe(4, 32, 7);  // planned before that was known
  EXPECT_EQ(governor.budget(), 500);
  governor.observe(4, 500, 62.5);
  EXPECT_EQ(governor.budget(), 400);
  governor.observe(0, 1000, 100);
  EXPECT_EQ(governor.budget(), 400) << "a mixed step knows better";
}

TEST(PrefillGovernor, OneSlowStepIsNoCatastrophe) {
  PrefillGovernor governor(50, 32, 2048);
  drive(governor, 20, 10, 0.1);
  governor.observe(4, governor.budget(), 10000);
  EXPECT_GE(governor.budget(), 90);
}

}  // namespace
}  // namespace sluice
