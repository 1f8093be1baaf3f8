// The arithmetic of benches: percentiles, tables, JSON, workloads.
#include "server/cli/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "server/cli/random_prompts.h"
#include "server/cli/workload.h"

namespace sluice {
namespace {

TEST(Percentile, InterpolatesBetweenOrderStatistics) {
  const std::vector<double> values = {4, 1, 3, 2};  // numpy: percentile([1, 2, 3, 4], p)
  EXPECT_DOUBLE_EQ(percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(values, 25), 1.75);
  EXPECT_DOUBLE_EQ(percentile(values, 50), 2.5);
  EXPECT_DOUBLE_EQ(percentile(values, 90), 3.7);
  EXPECT_DOUBLE_EQ(percentile(values, 100), 4);
  EXPECT_DOUBLE_EQ(percentile({7}, 99), 7);
  EXPECT_DOUBLE_EQ(percentile({}, 50), 0);
}

TEST(Report, JsonKeepsTypesOrderAndLists) {
  Report report;
  report.section("shape") = {
      {"tokens", int64_t{5}}, {"dense", true}, {"name", std::string("a\"b")}};
  report.add_row("rows", {{"x", 0.5}});
  report.add_row("rows", {{"x", std::nan("")}});
  EXPECT_EQ(report.json(), R"({
  "shape": {
    "tokens": 5,
    "dense": true,
    "name": "a\"b"
  },
  "rows": [
    {
      "x": 0.5
    },
    {
      "x": null
    }
  ]
}
)");
}

TEST(Report, TablesAlignTheirColumns) {
  Report report;
  report.add_row("list", {{"what", std::string("prompt")}, {"rate", 1234.5}});
  report.add_row("list", {{"what", std::string("x")}, {"rate", 1.5}});
  report.section("one") = {{"a", int64_t{1}}, {"long", false}};
  std::ostringstream out;
  report.print(out);
  EXPECT_EQ(out.str(),
            "list\n"
            "  what    rate\n"
            "  prompt  1234\n"
            "  x       1.50\n"
            "one\n"
            "  a     1\n"
            "  long  no\n");
}

TEST(Report, UnwritableFileIsNamed) {
  const Status status = Report().finish(std::cout, "/nonexistent/x.json");
  EXPECT_EQ(status.message(), "cannot write /nonexistent/x.json");
}

TEST(ProcessUsage, ReadsThisProcessAndNoOther) {
  const ProcessUsage self = ProcessUsage::of(getpid());
  EXPECT_GT(self.resident_bytes, 1 << 20);
  EXPECT_EQ(ProcessUsage::of(1LL << 40).resident_bytes, 0);
}

TEST(LatencyFigures, GapsAreTakenFromArrivalsAndTokensFromTheCount) {
  using std::chrono::milliseconds;
  const LatencyFigures::TimePoint sent;
  LatencyFigures figures;
  figures.add(sent, {sent + milliseconds(10), sent + milliseconds(30)}, 5);  // 2 events, 5 tokens
  figures.add(sent, {sent + milliseconds(20)}, 1);
  figures.add(sent, {}, 0);  // nothing came
  EXPECT_EQ(figures.output_tokens, 6);
  EXPECT_EQ(figures.first_ms, (std::vector<double>{10, 20}));
  EXPECT_EQ(figures.per_ms, (std::vector<double>{5}));
  EXPECT_EQ(figures.between_ms, (std::vector<double>{20}));
  EXPECT_EQ(figures.whole_ms, (std::vector<double>{30, 20}));
}

TEST(Workload, LengthsStayInTheirRangeAndDependOnTheSeedAlone) {
  Workload workload;
  workload.num_prompts = 1000;
  workload.input_len = 100;
  workload.output_len = 1;
  workload.range_ratio = 0.5;
  const std::vector<WorkloadItem> items = workload.items(7), again = workload.items(7);
  double sum = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i].input_len, again[i].input_len);
    EXPECT_TRUE(items[i].input_len >= 50 && items[i].input_len <= 150) << items[i].input_len;
    EXPECT_GE(items[i].output_len, 1);
    sum += static_cast<double>(items[i].input_len);
  }
  EXPECT_NEAR(sum / 1000, 100, 5);  // deviation of the mean: 50 / sqrt(3 * 1000) = 0.9
  workload.output_len = 100;
  EXPECT_NE(workload.items(7)[0].output_len, 100);
  workload.fixed_output_len = true;
  for (const WorkloadItem& item : workload.items(7)) EXPECT_EQ(item.output_len, 100);
  EXPECT_EQ(workload.items(7)[0].input_len, items[0].input_len);
  EXPECT_NE(workload.items(8)[0].input_len + workload.items(8)[1].input_len * 1000,
            items[0].input_len + items[1].input_len * 1000);
}

TEST(RandomTokens, DifferByStreamAndStayBelowTheVocabulary) {
  const auto a = random_tokens(1, 0, 500, 37), b = random_tokens(1, 1, 500, 37);
  EXPECT_EQ(a, random_tokens(1, 0, 500, 37));
  EXPECT_NE(a, b);
  for (const TokenId id : a) EXPECT_TRUE(id >= 0 && id < 37);
}

}  // namespace
}  // namespace sluice
