// `sluice eval perplexity`: how well the model predicts a text, or the answers of golden/eval.jsonl
// given their prompts. Scores come from the engine's own prompt logprobs.
#include <cmath>
#include <fstream>

#include "base/text.h"
#include "server/cli/engine_command.h"
#include "server/cli/eval_data.h"
#include "server/cli/offline.h"
#include "server/text/model_text.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Perplexity";
constexpr size_t kMaxTextBytes = size_t{64} << 20;

struct PerplexityOptions {
  std::string text_file;
  std::string eval_file;
  int64_t window = 1024;
  int64_t limit = 0;
  EngineCommand command;
};

void add_options(OptionSet& set, PerplexityOptions& options) {
  set.add({.name = "text-file",
           .group = kGroup,
           .target = &options.text_file,
           .help = "Text to score (UTF-8). Default: the answers of --eval-file",
           .command_line_only = true});
  set.add({.name = "eval-file",
           .group = kGroup,
           .target = &options.eval_file,
           .help = "Default: golden/eval.jsonl in the model's directory",
           .command_line_only = true});
  set.add({.name = "window",
           .group = kGroup,
           .target = &options.window,
           .help = "Tokens of a window of the text; its second half is scored",
           .min = 2,
           .max = 1 << 24,
           .command_line_only = true});
  set.add({.name = "limit",
           .group = kGroup,
           .target = &options.limit,
           .help = "Windows or answers to score, spread evenly; auto: all",
           .min = 1,
           .max = 1 << 20,
           .zero_is_auto = true,
           .command_line_only = true});
  add_json_option(set, kGroup, options.command.json);
}

// Tokens [first_scored, ids.size()) are scored, the ones before are context.
struct Passage {
  std::vector<TokenId> ids;
  size_t first_scored = 0;
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return invalid_argument(path + ": cannot be read", "text-file");
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (text.size() > kMaxTextBytes) {
    return invalid_argument(str(path, " has ", text.size(), " bytes; the limit is ", kMaxTextBytes),
                            "text-file");
  }
  return text;
}

// Windows of `window` tokens, each beginning in the middle of the last one, so that every scored
// token sees at least half a window. The rest that fills no window is left out.
std::vector<Passage> text_passages(const std::vector<TokenId>& ids, size_t window) {
  std::vector<Passage> passages;
  const size_t half = window / 2;
  for (size_t first = 0; first + window <= ids.size(); first += window - half) {
    const auto begin = ids.begin() + static_cast<ptrdiff_t>(first);
    passages.push_back({{begin, begin + static_cast<ptrdiff_t>(window)}, half});
  }
  return passages;
}

std::vector<Passage> answer_passages(const std::vector<RetrievalCase>& cases,
                                     const Tokenizer& tokenizer) {
  std::vector<Passage> passages;
  for (const RetrievalCase& retrieval : cases) {
    Passage& passage = passages.emplace_back();
    passage.ids = retrieval.prompt_ids;
    passage.first_scored = passage.ids.size();
    const std::vector<TokenId> answer = tokenizer.encode(retrieval.answer);
    passage.ids.insert(passage.ids.end(), answer.begin(), answer.end());
  }
  return passages;
}

Result<std::vector<Passage>> make_passages(const PerplexityOptions& options,
                                           const std::string& model_path,
                                           const Tokenizer& tokenizer) {
  std::vector<Passage> passages;
  if (!options.text_file.empty()) {
    const Result<std::string> text = read_text(options.text_file);
    if (!text.ok()) return text.status();
    passages = text_passages(tokenizer.encode(text.value()), static_cast<size_t>(options.window));
  } else {
    const auto cases = read_retrieval(options.eval_file.empty() ? model_path + "/golden/eval.jsonl"
                                                                : options.eval_file);
    if (!cases.ok()) return cases.status();
    passages = answer_passages(cases.value(), tokenizer);
  }
  std::vector<Passage> chosen;
  for (const size_t i : spread(passages.size(), options.limit)) chosen.push_back(passages[i]);
  if (chosen.empty()) {
    return invalid_argument("there is nothing to score: the text is shorter than --window",
                            "window");
  }
  return chosen;
}

// prompt_logprobs[i] scores token i + 1.
Status score(EngineAssembly& engine, const std::vector<Passage>& passages, Report& report) {
  std::vector<OfflineRequest> requests;
  for (const Passage& passage : passages) {
    OfflineRequest& request = requests.emplace_back();
    request.prompt = passage.ids;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = 1;
    request.sampling.prompt_logprobs = true;
    request.sampling.num_prompt_top_logprobs = 1;  // ranks are counted only beside a list
  }
  const Clocks start = Clocks::now();
  const auto completions = run_offline(*engine.engine, requests, engine.engine_config.max_num_seqs);
  if (!completions.ok()) return completions.status();
  SLUICE_RETURN_IF_ERROR(first_error(completions.value()));
  const Clocks spent = Clocks::now() - start;

  double sum = 0;
  int64_t scored = 0, greedy = 0;
  for (size_t i = 0; i < passages.size(); ++i) {
    const std::vector<TokenLogprob>& logprobs = completions.value()[i].prompt_logprobs;
    SLUICE_CHECK_EQ(logprobs.size() + 1, passages[i].ids.size());
    for (size_t token = passages[i].first_scored; token < passages[i].ids.size(); ++token) {
      sum += logprobs[token - 1].logprob;
      greedy += logprobs[token - 1].rank == 1 ? 1 : 0;
      ++scored;
    }
  }
  const double nll = -sum / static_cast<double>(scored);
  report.section("perplexity") = {
      {"passages", static_cast<int64_t>(passages.size())},
      {"scored_tokens", scored},
      {"nll", nll},
      {"perplexity", std::exp(nll)},
      {"most_likely_share", static_cast<double>(greedy) / static_cast<double>(scored)},
      {"wall_s", spent.wall_s},
      {"cpu_s", spent.cpu_s}};
  return {};
}

}  // namespace

int run_eval_perplexity(const Arguments& arguments) {
  OptionSet set("eval perplexity", "Scores a text, or the right answers to long prompts.");
  PerplexityOptions options;
  add_options(set, options);
  return run_engine_command(set, arguments, options.command,
                            [&](EngineAssembly& engine, uint64_t, Report& report) -> Result<bool> {
                              const Result<ModelText> text = load_model_text(engine.tokenizer_path);
                              if (!text.ok()) return text.status();
                              const auto passages = make_passages(options, engine.model_path,
                                                                  *text.value().tokenizer);
                              if (!passages.ok()) return passages.status();
                              SLUICE_RETURN_IF_ERROR(score(engine, passages.value(), report));
                              return true;
                            });
}

}  // namespace sluice
