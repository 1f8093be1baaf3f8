// `sluice bench latency`: one batch of equal requests, over and over. How fast a prompt is
// processed, how fast tokens follow, at a chosen depth of context.
#include "base/text.h"
#include "server/cli/engine_command.h"
#include "server/cli/offline.h"
#include "server/cli/random_prompts.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Latency";
constexpr double kMaxLength = 1 << 24;

struct LatencyOptions {
  int64_t input_len = 512;
  int64_t output_len = 64;
  int64_t context_len = 0;
  int64_t batch_size = 1;
  int64_t num_iters = 5;
  int64_t num_iters_warmup = 1;
  EngineCommand command;
};

void add_options(OptionSet& set, LatencyOptions& options) {
  const auto count = [&](const char* name, int64_t* target, double min, double max,
                         const char* help) {
    set.add({.name = name,
             .group = kGroup,
             .target = target,
             .help = help,
             .min = min,
             .max = max,
             .command_line_only = true});
  };
  count("input-len", &options.input_len, 1, kMaxLength, "Prompt tokens that are timed");
  count("output-len", &options.output_len, 1, kMaxLength, "Output tokens");
  count("context-len", &options.context_len, 0, kMaxLength,
        "Tokens before them that are in the KV cache already");
  count("batch-size", &options.batch_size, 1, 4096, "Requests at a time");
  count("num-iters", &options.num_iters, 1, 10000, "Timed repetitions");
  count("num-iters-warmup", &options.num_iters_warmup, 0, 10000,
        "Repetitions before them; at least one with a context");
  add_json_option(set, kGroup, options.command.json);
}

// One repetition: the clocks' advance until every request had its first token, and from there on.
struct Iteration {
  Clocks prompt, decode;
  int64_t prompt_tokens = 0;  // computed, not found in the cache
  int64_t decode_tokens = 0;  // after the prompt phase
};

class LatencyBench {
 public:
  LatencyBench(const LatencyOptions& options, uint64_t seed, EngineAssembly& parts)
      : options_(options), seed_(seed), parts_(parts) {}

  Result<Iteration> run(int64_t iteration) {
    const std::vector<OfflineRequest> requests = make_requests(iteration);
    const Clocks start = Clocks::now();
    Clocks prompt_end = start;
    int64_t tokens_at_prompt_end = 0;
    const auto on_step = [&](const std::vector<Completion>& completions) {
      if (tokens_at_prompt_end > 0) return;
      int64_t tokens = 0;
      for (const Completion& completion : completions) {
        if (completion.tokens.empty()) return;
        tokens += static_cast<int64_t>(completion.tokens.size());
      }
      tokens_at_prompt_end = tokens;
      prompt_end = Clocks::now();
    };
    const auto completions =
        run_offline(*parts_.engine, requests, static_cast<int>(requests.size()), on_step);
    if (!completions.ok()) return completions.status();
    const Clocks end = Clocks::now();

    Iteration result{.prompt = prompt_end - start, .decode = end - prompt_end};
    for (const Completion& completion : completions.value()) {
      if (completion.finish == FinishReason::kError) return completion.error;
      result.prompt_tokens += options_.context_len + options_.input_len - completion.cached_tokens;
      result.decode_tokens += static_cast<int64_t>(completion.tokens.size());
    }
    result.decode_tokens -= tokens_at_prompt_end;
    return result;
  }

 private:
  // Each lane's context is its own and stays; what follows it is new in every repetition.
  std::vector<OfflineRequest> make_requests(int64_t iteration) const {
    std::vector<OfflineRequest> requests(static_cast<size_t>(options_.batch_size));
    for (size_t lane = 0; lane < requests.size(); ++lane) {
      const int vocab = parts_.model_config.vocab_size;
      const uint64_t input_stream = 1 + lane + static_cast<uint64_t>(iteration) * requests.size();
      OfflineRequest& request = requests[lane];
      request.prompt = random_tokens(~seed_, lane, options_.context_len, vocab);
      const auto input = random_tokens(seed_, input_stream, options_.input_len, vocab);
      request.prompt.insert(request.prompt.end(), input.begin(), input.end());
      request.sampling.temperature = 0;
      request.sampling.max_tokens = options_.output_len;
      request.sampling.ignore_eos = true;
    }
    return requests;
  }

  const LatencyOptions& options_;
  uint64_t seed_;
  EngineAssembly& parts_;
};

void add_results(const LatencyOptions& options, const std::vector<Iteration>& iterations,
                 Report& report) {
  report.section("shape") = {{"context_len", options.context_len},
                             {"input_len", options.input_len},
                             {"output_len", options.output_len},
                             {"batch_size", options.batch_size},
                             {"num_iters", options.num_iters}};
  std::vector<double> prompt_s, prompt_rate, prompt_cpu_rate, gap_ms, decode_rate, decode_cpu_rate;
  std::vector<double> total_s;
  for (const Iteration& i : iterations) {
    const auto prompt_tokens = static_cast<double>(i.prompt_tokens);
    const auto decode_tokens = static_cast<double>(i.decode_tokens);
    prompt_s.push_back(i.prompt.wall_s);
    prompt_rate.push_back(rate(prompt_tokens, i.prompt.wall_s));
    prompt_cpu_rate.push_back(rate(prompt_tokens, i.prompt.cpu_s));
    gap_ms.push_back(
        1e3 * rate(i.decode.wall_s * static_cast<double>(options.batch_size), decode_tokens));
    decode_rate.push_back(rate(decode_tokens, i.decode.wall_s));
    decode_cpu_rate.push_back(rate(decode_tokens, i.decode.cpu_s));
    total_s.push_back(i.prompt.wall_s + i.decode.wall_s);
  }
  const auto add = [&](const char* what, const char* unit, const std::vector<double>& values) {
    report.add_row("results", {{"what", std::string(what)},
                               {"unit", std::string(unit)},
                               {"median", percentile(values, 50)},
                               {"mean", mean(values)},
                               {"min", percentile(values, 0)},
                               {"max", percentile(values, 100)}});
  };
  add("prompt", "s", prompt_s);
  add("prompt", "tokens/s", prompt_rate);
  add("prompt", "tokens/cpu-s", prompt_cpu_rate);
  add("decode", "ms/token", gap_ms);
  add("decode", "tokens/s", decode_rate);
  add("decode", "tokens/cpu-s", decode_cpu_rate);
  add("request", "s", total_s);
}

}  // namespace

int run_bench_latency(const Arguments& arguments) {
  OptionSet set("bench latency", "Times one batch of equal requests: prompt, then decode.");
  LatencyOptions options;
  add_options(set, options);
  return run_engine_command(
      set, arguments, options.command,
      [&](EngineAssembly& engine, uint64_t seed, Report& report) -> Result<bool> {
        LatencyBench bench(options, seed, engine);
        const int64_t warmup = std::max<int64_t>(options.num_iters_warmup, options.context_len > 0);
        std::vector<Iteration> iterations;
        for (int64_t i = 0; i < warmup + options.num_iters; ++i) {
          const Result<Iteration> iteration = bench.run(i);
          if (!iteration.ok()) return iteration.status();
          if (i >= warmup) iterations.push_back(iteration.value());
        }
        add_results(options, iterations, report);
        return true;
      });
}

}  // namespace sluice
