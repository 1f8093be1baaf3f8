// Random workloads, and the arithmetic of latency and throughput.
#include "server/cli/workload.h"

#include "server/cli/random_prompts.h"

namespace sluice {
namespace {

constexpr double kMaxPrompts = 1 << 20;
constexpr double kMaxLength = 1 << 24;
constexpr uint64_t kInputLengths = 0x696e, kOutputLengths = 0x6f75;  // streams of the two lengths

}  // namespace

void Workload::add_options(OptionSet& set, const char* group) {
  const auto add = [&](const char* name, Option::Target target, double min, double max,
                       const char* help) {
    set.add({.name = name,
             .group = group,
             .target = target,
             .help = help,
             .min = min,
             .max = max,
             .command_line_only = true});
  };
  set.add({.name = "dataset-name",
           .group = group,
           .target = &dataset,
           .help = "What the prompts are made of",
           .choices = {"random"},
           .command_line_only = true});
  add("num-prompts", &num_prompts, 1, kMaxPrompts, "Requests");
  add("input-len", &input_len, 1, kMaxLength, "Mean prompt tokens");
  add("output-len", &output_len, 1, kMaxLength, "Mean output tokens");
  add("random-range-ratio", &range_ratio, 0, 0.99,
      "Lengths are uniform in mean * (1 - ratio) ... mean * (1 + ratio)");
  add("fixed-output-len", &fixed_output_len, 0, 0, "But every output has the mean length");
  add("max-concurrency", &max_concurrency, 0, 4096, "Requests at a time; 0: no limit of ours");
}

std::vector<WorkloadItem> Workload::items(uint64_t seed) const {
  std::vector<WorkloadItem> items(static_cast<size_t>(num_prompts));
  for (size_t i = 0; i < items.size(); ++i) {
    items[i] = {.stream = i,
                .input_len = random_length(seed ^ kInputLengths, i, input_len, range_ratio),
                .output_len = random_length(seed ^ kOutputLengths, i, output_len,
                                            fixed_output_len ? 0 : range_ratio)};
  }
  return items;
}

void Workload::describe(Report& report) const {
  report.section("workload") = {{"dataset", dataset},
                                {"num_prompts", num_prompts},
                                {"input_len", input_len},
                                {"output_len", output_len},
                                {"range_ratio", range_ratio},
                                {"fixed_output_len", fixed_output_len},
                                {"max_concurrency", max_concurrency}};
}

void LatencyFigures::add(TimePoint sent, const std::vector<TimePoint>& arrivals, int64_t tokens) {
  if (arrivals.empty()) return;
  const auto ms = [](auto span) { return std::chrono::duration<double, std::milli>(span).count(); };
  output_tokens += tokens;
  first_ms.push_back(ms(arrivals.front() - sent));
  whole_ms.push_back(ms(arrivals.back() - sent));
  if (tokens > 1) {
    per_ms.push_back(ms(arrivals.back() - arrivals.front()) / static_cast<double>(tokens - 1));
  }
  for (size_t i = 1; i < arrivals.size(); ++i) {
    between_ms.push_back(ms(arrivals[i] - arrivals[i - 1]));
  }
}

void add_throughput(ReportRow& row, double wall_s, int64_t input_tokens,
                    const LatencyFigures& figures) {
  const auto requests = static_cast<int64_t>(figures.whole_ms.size());
  row.emplace_back("requests", requests);
  row.emplace_back("wall_s", wall_s);
  row.emplace_back("input_tokens", input_tokens);
  row.emplace_back("output_tokens", figures.output_tokens);
  row.emplace_back("requests_per_s", rate(static_cast<double>(requests), wall_s));
  row.emplace_back("output_tokens_per_s", rate(static_cast<double>(figures.output_tokens), wall_s));
  row.emplace_back("total_tokens_per_s",
                   rate(static_cast<double>(input_tokens + figures.output_tokens), wall_s));
}

void add_latency(ReportRow& row, const LatencyFigures& figures) {
  add_summary(row, "ttft_ms", figures.first_ms);
  add_summary(row, "tpot_ms", figures.per_ms);
  add_summary(row, "itl_ms", figures.between_ms);
  add_summary(row, "e2el_ms", figures.whole_ms);
}

}  // namespace sluice
