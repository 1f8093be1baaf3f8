// `sluice eval golden`: do greedy ids and logprobs equal those of the reference implementation?
#include "server/cli/engine_command.h"
#include "server/cli/eval_data.h"
#include "server/cli/offline.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Golden";
constexpr int kTop = 10;  // best logprobs of the first step that a case lists

struct GoldenOptions {
  std::string file;
  double tolerance = 0;
  EngineCommand command;
};

void add_options(OptionSet& set, GoldenOptions& options) {
  set.add({.name = "golden-file",
           .group = kGroup,
           .target = &options.file,
           .help = "Default: golden/golden.json in the model's directory",
           .command_line_only = true});
  set.add({.name = "tolerance",
           .group = kGroup,
           .target = &options.tolerance,
           .help = "Of logprobs; auto: 0.02 with float32 weights, 0.05 with bfloat16",
           .min = 1e-6,
           .max = 100,
           .zero_is_auto = true,
           .command_line_only = true});
  set.add({.name = "check-ops",
           .group = kGroup,
           .target = &options.command.check_ops,
           .help = "Compute every op on the CPU too, on the same inputs, and stop at the first "
                   "result that differs too much",
           .command_line_only = true});
  add_json_option(set, kGroup, options.command.json);
}

std::vector<OfflineRequest> make_requests(const std::vector<GoldenCase>& cases) {
  std::vector<OfflineRequest> requests;
  for (const GoldenCase& golden : cases) {
    OfflineRequest& request = requests.emplace_back();
    request.prompt = golden.prompt_ids;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = static_cast<int64_t>(golden.greedy_ids.size());
    request.sampling.ignore_eos = true;  // the answers hold their end-of-sequence id
    request.sampling.logprobs = true;
    request.sampling.num_top_logprobs = kTop;
  }
  return requests;
}

// Adds a row a case and the sum; true if all are as they should be.
bool judge_all(const std::vector<GoldenCase>& cases, const std::vector<Completion>& completions,
               double tolerance, Report& report) {
  int64_t passed = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const GoldenVerdict verdict = judge(cases[i], completions[i], tolerance);
    const bool ok = verdict.ids_ok && verdict.error <= tolerance;
    passed += ok ? 1 : 0;
    const auto length = static_cast<int64_t>(cases[i].greedy_ids.size());
    const bool tie = verdict.ids_ok && verdict.num_equal < length;
    report.add_row("cases", {{"case", static_cast<int64_t>(i)},
                             {"prompt", static_cast<int64_t>(cases[i].prompt_ids.size())},
                             {"answer", length},
                             {"equal", verdict.num_equal},
                             {"near_tie", tie},
                             {"error", verdict.error},
                             {"ok", ok}});
  }
  const auto total = static_cast<int64_t>(cases.size());
  report.section("summary") = {{"passed", passed}, {"cases", total}, {"tolerance", tolerance}};
  return passed == total;
}

// A row an op: how much of the tolerance its worst call took.
void add_checked_ops(const CheckedBackend& checked, Report& report) {
  for (const auto& [op, record] : checked.ops()) {
    report.add_row("checked_ops",
                   {{"op", op}, {"calls", record.calls}, {"worst", double{record.worst}}});
  }
}

}  // namespace

int run_eval_golden(const Arguments& arguments) {
  OptionSet set("eval golden", "Compares greedy answers with those of the reference.");
  GoldenOptions options;
  add_options(set, options);
  return run_engine_command(
      set, arguments, options.command,
      [&](EngineAssembly& engine, uint64_t, Report& report) -> Result<bool> {
        const std::string file =
            options.file.empty() ? engine.model_path + "/golden/golden.json" : options.file;
        const Result<std::vector<GoldenCase>> cases = read_golden(file);
        if (!cases.ok()) return cases.status();
        const double usual = engine.model->weight_dtype() == DType::kF32 ? 0.02 : 0.05;
        const double tolerance = options.tolerance > 0 ? options.tolerance : usual;
        const auto completions = run_offline(*engine.engine, make_requests(cases.value()),
                                             engine.engine_config.max_num_seqs);
        if (!completions.ok()) return completions.status();
        SLUICE_RETURN_IF_ERROR(first_error(completions.value()));
        if (engine.checked != nullptr) add_checked_ops(*engine.checked, report);
        return judge_all(cases.value(), completions.value(), tolerance, report);
      });
}

}  // namespace sluice
