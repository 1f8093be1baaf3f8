// `sluice bench throughput`: many requests through the engine, as fast as they go, without a
// server.
#include <iostream>

#include "base/log.h"
#include "server/cli/assembly.h"
#include "server/cli/command.h"
#include "server/cli/offline.h"
#include "server/cli/random_prompts.h"
#include "server/cli/report.h"
#include "server/cli/workload.h"

namespace sluice {
namespace {

std::vector<OfflineRequest> make_requests(const Workload& workload, uint64_t seed, int vocab_size) {
  std::vector<OfflineRequest> requests;
  for (const WorkloadItem& item : workload.items(seed)) {
    OfflineRequest& request = requests.emplace_back();
    request.prompt = random_tokens(seed, item.stream, item.input_len, vocab_size);
    request.sampling.temperature = 0;
    request.sampling.max_tokens = item.output_len;
    request.sampling.ignore_eos = true;
  }
  return requests;
}

Result<Report> run(const Workload& workload, EngineAssembly& parts, uint64_t seed) {
  const auto requests = make_requests(workload, seed, parts.model_config.vocab_size);
  const int concurrency = static_cast<int>(
      workload.max_concurrency > 0 ? workload.max_concurrency : parts.engine_config.max_num_seqs);
  const Clocks start = Clocks::now();
  const auto completions = run_offline(*parts.engine, requests, concurrency);
  if (!completions.ok()) return completions.status();
  const Clocks spent = Clocks::now() - start;

  LatencyFigures figures;
  int64_t input_tokens = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Completion& completion = completions.value()[i];
    if (completion.finish == FinishReason::kError) return completion.error;
    input_tokens += static_cast<int64_t>(requests[i].prompt.size());
    figures.add(completion.submitted, completion.token_times,
                static_cast<int64_t>(completion.tokens.size()));
  }
  Report report;
  add_machine(report);
  add_engine_section(report, parts);
  workload.describe(report);
  ReportRow& results = report.section("results");
  add_throughput(results, spent.wall_s, input_tokens, figures);
  results.emplace_back("cpu_s", spent.cpu_s);
  results.emplace_back("output_tokens_per_cpu_s",
                       rate(static_cast<double>(figures.output_tokens), spent.cpu_s));
  results.emplace_back("preemptions", parts.engine->stats().preemptions);
  add_latency(results, figures);
  return report;
}

}  // namespace

int run_bench_throughput(const Arguments& arguments) {
  OptionSet set("bench throughput", "Sends many random requests through the engine, no server.");
  Workload workload;
  ServerConfig config;
  std::string json;
  workload.add_options(set, "Throughput");
  add_json_option(set, "Throughput", json);
  add_engine_options(set, config);
  if (const auto status = read_options(set, arguments)) return *status;
  if (const Status status = set_log_level(config.log_level); !status.ok()) return fail(status);

  Result<std::unique_ptr<EngineAssembly>> parts = assemble_engine(config);
  if (!parts.ok()) return fail(parts.status());
  const Result<Report> report = run(workload, *parts.value(), static_cast<uint64_t>(config.seed));
  if (!report.ok()) return fail(report.status());
  const Status status = report.value().finish(std::cout, json);
  return status.ok() ? kExitOk : fail(status);
}

}  // namespace sluice
