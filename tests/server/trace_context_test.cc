// Trace contexts, as the W3C's standard has them.
#include "server/trace_context.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

constexpr const char* kGiven = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContext, KeepsTheTraceAndBeginsASpan) {
  const TraceContext context = read_trace_context(kGiven);
  EXPECT_EQ(context.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(context.parent_id, "b7ad6b7169203331");
  EXPECT_EQ(context.span_id.size(), 16U);
  EXPECT_NE(context.span_id, context.parent_id);
  EXPECT_EQ(context.header(), "00-0af7651916cd43dd8448eb211c80319c-" + context.span_id + "-01");
  EXPECT_NE(read_trace_context(kGiven).span_id, context.span_id);
}

TEST(TraceContext, LaterVersionsMayHaveMore) {
  EXPECT_FALSE(
      read_trace_context("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more").empty());
}

TEST(TraceContext, WhatIsNoneIsAbsent) {
  for (const char* wrong : {
           "",
           "00-",
           "00-0af7651916cd43dd8448eb211c80319c",
           "00-0af7651916cd43dd8448eb211c80319\"-b7ad6b7169203331-01",
           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",  // upper case
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
       }) {
    EXPECT_TRUE(read_trace_context(wrong).empty()) << wrong;
  }
}

}  // namespace
}  // namespace sluice
