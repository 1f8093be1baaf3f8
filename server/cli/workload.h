// Workload: what `bench throughput` and `bench serve` send, and what they measure in common.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "server/cli/report.h"
#include "server/options.h"

namespace sluice {

struct WorkloadItem {
  uint64_t stream = 0;  // of random_tokens
  int64_t input_len = 0;
  int64_t output_len = 0;
};

// Flags and defaults as `vllm bench` has them, on a smaller scale.
struct Workload {
  std::string dataset = "random";
  int64_t num_prompts = 64;
  int64_t input_len = 128;
  int64_t output_len = 64;
  double range_ratio = 0;
  bool fixed_output_len = false;
  int64_t max_concurrency = 32;

  void add_options(OptionSet& set, const char* group);
  std::vector<WorkloadItem> items(uint64_t seed) const;
  void describe(Report& report) const;
};

// Times of finished requests.
struct LatencyFigures {
  using TimePoint = std::chrono::steady_clock::time_point;
  std::vector<double> first_ms;    // from sending to the first token
  std::vector<double> per_ms;      // per output token after the first, a value a request
  std::vector<double> between_ms;  // from one arrival to the next, a value a gap
  std::vector<double> whole_ms;    // from sending to the last token
  int64_t output_tokens = 0;

  // `arrivals`: when tokens came, several at a time or one by one; `tokens` in all.
  void add(TimePoint sent, const std::vector<TimePoint>& arrivals, int64_t tokens);
};

void add_throughput(ReportRow& row, double wall_s, int64_t input_tokens,
                    const LatencyFigures& figures);
void add_latency(ReportRow& row, const LatencyFigures& figures);

}  // namespace sluice
