// `sluice bench throughput`: many requests through the engine, as fast as they go, without a
// server.
#include "server/cli/engine_command.h"
#include "server/cli/offline.h"
#include "server/cli/random_prompts.h"
#include "server/cli/step_table.h"
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

Status run(const Workload& workload, EngineAssembly& parts, uint64_t seed, Report& report) {
  const auto requests = make_requests(workload, seed, parts.model_config.vocab_size);
  const int concurrency = static_cast<int>(
      workload.max_concurrency > 0 ? workload.max_concurrency : parts.engine_config.max_num_seqs);
  const Clocks start = Clocks::now();
  StepTable steps;
  const auto completions =
      run_offline(*parts.engine, requests, concurrency,
                  [&](const auto& /*so_far*/) { steps.see(parts.engine->stats()); });
  if (!completions.ok()) return completions.status();
  SLUICE_RETURN_IF_ERROR(first_error(completions.value()));
  const Clocks spent = Clocks::now() - start;

  LatencyFigures figures;
  int64_t input_tokens = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Completion& completion = completions.value()[i];
    input_tokens += static_cast<int64_t>(requests[i].prompt.size());
    figures.add(completion.submitted, completion.token_times,
                static_cast<int64_t>(completion.tokens.size()));
  }
  workload.describe(report);
  ReportRow& results = report.section("results");
  add_throughput(results, spent.wall_s, input_tokens, figures);
  results.emplace_back("cpu_s", spent.cpu_s);
  results.emplace_back("output_tokens_per_cpu_s",
                       rate(static_cast<double>(figures.output_tokens), spent.cpu_s));
  results.emplace_back("preemptions", parts.engine->stats().preemptions);
  add_latency(results, figures);
  steps.describe(report);
  return {};
}

}  // namespace

int run_bench_throughput(const Arguments& arguments) {
  OptionSet set("bench throughput", "Sends many random requests through the engine, no server.");
  Workload workload;
  EngineCommand command;
  workload.add_options(set, "Throughput");
  add_json_option(set, "Throughput", command.json);
  return run_engine_command(
      set, arguments, command,
      [&](EngineAssembly& engine, uint64_t seed, Report& report) -> Result<bool> {
        SLUICE_RETURN_IF_ERROR(run(workload, engine, seed, report));
        return true;
      });
}

}  // namespace sluice
