// `sluice eval retrieval`: does the model still find, greedily, what the prompt says? Counts whole
// answers by task and length, against what the dense reference found.
#include <map>

#include "base/log.h"
#include "server/cli/engine_command.h"
#include "server/cli/eval_data.h"
#include "server/cli/offline.h"
#include "server/text/detokenizer.h"
#include "server/text/model_text.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Retrieval";
constexpr int64_t kAnswerTokens = 64;  // an answer that is longer is wrong

struct RetrievalOptions {
  std::string file;
  int64_t limit = 0;
  EngineCommand command;
};

void add_options(OptionSet& set, RetrievalOptions& options) {
  set.add({.name = "eval-file",
           .group = kGroup,
           .target = &options.file,
           .help = "Default: golden/eval.jsonl in the model's directory",
           .command_line_only = true});
  set.add({.name = "limit",
           .group = kGroup,
           .target = &options.limit,
           .help = "Prompts to run, spread evenly over the file; auto: all",
           .min = 1,
           .max = 1 << 20,
           .zero_is_auto = true,
           .command_line_only = true});
  add_json_option(set, kGroup, options.command.json);
}

std::vector<OfflineRequest> make_requests(const std::vector<RetrievalCase>& cases,
                                          const ModelConfig& model) {
  std::vector<OfflineRequest> requests;
  for (const RetrievalCase& retrieval : cases) {
    OfflineRequest& request = requests.emplace_back();
    request.prompt = retrieval.prompt_ids;
    request.eos_ids = model.eos_ids;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = kAnswerTokens;
  }
  return requests;
}

struct Tally {
  int64_t prompts = 0, correct = 0, expected = 0;
  void add(bool right, bool dense_right) {
    ++prompts;
    correct += right ? 1 : 0;
    expected += dense_right ? 1 : 0;
  }
};

// A row a task and length, and the sum; true if no fewer answers are right than the reference had.
bool count_answers(const std::vector<RetrievalCase>& cases,
                   const std::vector<Completion>& completions, const Tokenizer& tokenizer,
                   Report& report) {
  std::map<std::pair<std::string, int64_t>, Tally> tallies;
  Tally sum;
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string answer = decode(tokenizer, completions[i].tokens, /*skip_control=*/true);
    const bool right = answer == cases[i].answer;
    tallies[{cases[i].task, cases[i].tokens / 1000}].add(right, cases[i].dense_correct);
    sum.add(right, cases[i].dense_correct);
    if (!right) {
      log_debug("wrong: \"" + answer + "\" instead of \"" + cases[i].answer + "\"");
    }
  }
  const auto row = [](std::string task, std::string length, const Tally& tally) {
    return ReportRow{{"task", std::move(task)},
                     {"length", std::move(length)},
                     {"prompts", tally.prompts},
                     {"correct", tally.correct},
                     {"expected", tally.expected}};
  };
  for (const auto& [key, tally] : tallies) {
    report.add_row("retrieval", row(key.first, length_bucket(key.second * 1000), tally));
  }
  report.add_row("retrieval", row("all", "", sum));
  return sum.correct >= sum.expected;
}

}  // namespace

int run_eval_retrieval(const Arguments& arguments) {
  OptionSet set("eval retrieval", "Counts right answers to questions about long texts.");
  RetrievalOptions options;
  add_options(set, options);
  return run_engine_command(
      set, arguments, options.command,
      [&](EngineAssembly& engine, uint64_t, Report& report) -> Result<bool> {
        const Result<ModelText> text = load_model_text(engine.tokenizer_path);
        if (!text.ok()) return text.status();
        const auto all = read_retrieval(
            options.file.empty() ? engine.model_path + "/golden/eval.jsonl" : options.file);
        if (!all.ok()) return all.status();
        std::vector<RetrievalCase> cases;
        for (const size_t i : spread(all.value().size(), options.limit))
          cases.push_back(all.value()[i]);
        const Clocks start = Clocks::now();
        const auto completions =
            run_offline(*engine.engine, make_requests(cases, engine.model_config),
                        engine.engine_config.max_num_seqs);
        if (!completions.ok()) return completions.status();
        SLUICE_RETURN_IF_ERROR(first_error(completions.value()));
        const Clocks spent = Clocks::now() - start;
        report.section("cost") = {{"wall_s", spent.wall_s}, {"cpu_s", spent.cpu_s}};
        return count_answers(cases, completions.value(), *text.value().tokenizer, report);
      });
}

}  // namespace sluice
