// `sluice bench serve`: a client that loads a running server over HTTP and measures what a user
// sees: time to first token, time per token, gaps, throughput. Works with any server of OpenAI's
// API.
#include <atomic>
#include <cmath>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "server/cli/command.h"
#include "server/cli/http_client.h"
#include "server/cli/random_prompts.h"
#include "server/cli/report.h"
#include "server/cli/workload.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Serve";
constexpr int64_t kMaxThreads = 1024;  // one a request in flight
using SteadyClock = std::chrono::steady_clock;

struct ServeBenchOptions {
  std::string host = "127.0.0.1";
  int64_t port = 8000;
  std::string endpoint = "/v1/completions";
  std::string model;
  int64_t vocab_size = 8192;
  double request_rate = 0;
  int64_t seed = 0;
  int64_t server_pid = 0;
  std::string json;
};

void add_options(OptionSet& set, ServeBenchOptions& options) {
  const auto add = [&](const char* name, Option::Target target, const char* help, double min = 0,
                       double max = 0x1p53, bool zero_is_auto = false) {
    set.add({.name = name,
             .group = kGroup,
             .target = target,
             .help = help,
             .min = min,
             .max = max,
             .zero_is_auto = zero_is_auto,
             .command_line_only = true});
  };
  add("host", &options.host, "Server's address");
  add("port", &options.port, "Server's port", 1, 65535);
  add("endpoint", &options.endpoint, "Path that takes completions with token ids as prompt");
  add("model", &options.model, "Model's name in the API. Default: the first that the server lists");
  add("vocab-size", &options.vocab_size, "Prompt ids are drawn below this", 1, 1 << 24);
  add("request-rate", &options.request_rate,
      "Mean requests per second, at exponential distances; auto: all at once", 1e-6, 1e6, true);
  add("seed", &options.seed, "Seed of prompts, lengths and distances");
  add("server-pid", &options.server_pid,
      "Server's process on this machine, to count its CPU seconds and memory; auto: none", 1,
      0x1p31, true);
  add_json_option(set, kGroup, options.json);
}

struct Sample {
  SteadyClock::time_point sent;
  std::vector<SteadyClock::time_point> arrivals;  // of events, one a token or more
  int64_t tokens = 0;
  std::string failure;
};

class ServeBench {
 public:
  ServeBench(const ServeBenchOptions& options, const Workload& workload)
      : options_(options),
        workload_(workload),
        target_{.host = options.host, .port = static_cast<int>(options.port)},
        items_(workload.items(static_cast<uint64_t>(options.seed))) {}

  // The name to ask for, and a sign that the server is there.
  Result<std::string> find_model() const {
    const Result<HttpAnswer> answer = http_request(target_, "GET", "/v1/models", "");
    if (!answer.ok()) return answer.status();
    if (!options_.model.empty()) return options_.model;
    const auto json = nlohmann::json::parse(answer.value().body, nullptr, false);
    const nlohmann::json::json_pointer name("/data/0/id");
    if (json.is_discarded() || !json.contains(name) || !json[name].is_string()) {
      return Status(StatusCode::kNotFound, "the server lists no model; name one with --model");
    }
    return json[name].get<std::string>();
  }

  std::vector<Sample> run(const std::string& model) {
    samples_.resize(items_.size());
    start_ = SteadyClock::now();
    const int64_t limit =
        workload_.max_concurrency > 0 ? workload_.max_concurrency : workload_.num_prompts;
    std::vector<std::jthread> threads;
    for (int64_t i = 0; i < std::min({limit, workload_.num_prompts, kMaxThreads}); ++i) {
      threads.emplace_back([this, &model] { work(model); });
    }
    threads.clear();  // joins
    return std::move(samples_);
  }

 private:
  // Takes requests in order until none is left; waits for each one's time.
  void work(const std::string& model) {
    for (size_t i = next_++; i < items_.size(); i = next_++) {
      std::this_thread::sleep_until(start_ + due(i));
      samples_[i] = send(items_[i], model);
    }
  }

  // When request `index` is due after the start: a Poisson process of the requested rate.
  SteadyClock::duration due(size_t index) {
    if (options_.request_rate <= 0) return {};
    const std::lock_guard lock(mutex_);
    constexpr int kSteps = 1 << 30;
    while (due_s_.size() <= index) {
      const auto draw =
          random_tokens(static_cast<uint64_t>(options_.seed), ~due_s_.size(), 1, kSteps);
      const double unit = (static_cast<double>(draw[0]) + 0.5) / kSteps;
      due_s_.push_back((due_s_.empty() ? 0 : due_s_.back()) -
                       std::log(unit) / options_.request_rate);
    }
    return std::chrono::duration_cast<SteadyClock::duration>(
        std::chrono::duration<double>(due_s_[index]));
  }

  std::string body(const WorkloadItem& item, const std::string& model) const {
    const nlohmann::json body = {
        {"model", model},
        {"prompt", random_tokens(static_cast<uint64_t>(options_.seed), item.stream, item.input_len,
                                 static_cast<int>(options_.vocab_size))},
        {"max_tokens", item.output_len},
        {"temperature", 0},
        {"ignore_eos", true},
        {"stream", true},
        // An event for every token, also for those that make no text (yet).
        {"stream_options", {{"include_usage", true}, {"continuous_usage_stats", true}}}};
    return body.dump();
  }

  Sample send(const WorkloadItem& item, const std::string& model) const {
    Sample sample;
    const std::string request = body(item, model);
    EventSplitter events([&](std::string_view data) { take(data, sample); });
    sample.sent = SteadyClock::now();
    const Result<HttpAnswer> answer =
        http_request(target_, "POST", options_.endpoint, request,
                     [&](std::string_view piece) { events.feed(piece); });
    if (!answer.ok()) {
      sample.failure = answer.status().message();
    } else if (answer.value().code != 200) {
      sample.failure = str("status ", answer.value().code, ": ", answer.value().body);
    } else if (sample.arrivals.empty()) {
      sample.failure = "the answer holds no token";
    } else if (sample.tokens == 0) {  // a server without usage: an event is a token
      sample.tokens = static_cast<int64_t>(sample.arrivals.size());
    }
    return sample;
  }

  // One event: its time if it is of a choice; the last usage has the number of tokens.
  static void take(std::string_view data, Sample& sample) {
    const auto now = SteadyClock::now();
    const auto json = nlohmann::json::parse(data, nullptr, false);
    if (!json.is_object()) return;  // [DONE]
    if (json.contains("error")) sample.failure = json["error"].dump();
    const nlohmann::json::json_pointer text("/choices/0/text");
    if (json.contains(text)) sample.arrivals.push_back(now);
    const nlohmann::json::json_pointer tokens("/usage/completion_tokens");
    if (json.contains(tokens) && json[tokens].is_number()) sample.tokens = json[tokens];
  }

  const ServeBenchOptions& options_;
  const Workload& workload_;
  HttpTarget target_;
  std::vector<WorkloadItem> items_;
  std::vector<Sample> samples_;  // by request; each written by one thread
  std::atomic<size_t> next_ = 0;
  SteadyClock::time_point start_;
  std::mutex mutex_;
  std::vector<double> due_s_;  // guarded by mutex_
};

// Adds the results; the number of failed requests.
int64_t add_results(Report& report, const std::vector<Sample>& samples,
                    const std::vector<WorkloadItem>& items, double wall_s) {
  LatencyFigures figures;
  int64_t failed = 0, input_tokens = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (!samples[i].failure.empty()) {
      if (failed++ == 0) log_error("first failure: " + samples[i].failure);
      continue;
    }
    input_tokens += items[i].input_len;
    figures.add(samples[i].sent, samples[i].arrivals, samples[i].tokens);
  }
  ReportRow& results = report.section("results");
  results.emplace_back("failed", failed);
  add_throughput(results, wall_s, input_tokens, figures);
  add_latency(results, figures);
  return failed;
}

}  // namespace

int run_bench_serve(const Arguments& arguments) {
  OptionSet set("bench serve", "Loads a running server over HTTP with random prompts.");
  ServeBenchOptions options;
  Workload workload;
  add_options(set, options);
  workload.add_options(set, kGroup);
  if (const auto status = read_options(set, arguments)) return *status;

  ServeBench bench(options, workload);
  const Result<std::string> model = bench.find_model();
  if (!model.ok()) return fail(model.status());
  const ProcessUsage server_before = ProcessUsage::of(options.server_pid);
  const Clocks start = Clocks::now();
  const std::vector<Sample> samples = bench.run(model.value());
  const Clocks spent = Clocks::now() - start;
  const ProcessUsage server_after = ProcessUsage::of(options.server_pid);

  Report report;
  add_machine(report);
  report.section("server") = {{"host", options.host},
                              {"port", options.port},
                              {"model", model.value()},
                              {"request_rate", options.request_rate}};
  workload.describe(report);
  const int64_t failed = add_results(
      report, samples, workload.items(static_cast<uint64_t>(options.seed)), spent.wall_s);
  ReportRow& results = report.section("results");
  results.emplace_back("client_cpu_s", spent.cpu_s);
  if (options.server_pid > 0) {
    int64_t tokens = 0;
    for (const Sample& sample : samples) tokens += sample.tokens;
    const double cpu_s = server_after.cpu_s - server_before.cpu_s;
    results.emplace_back("server_cpu_s", cpu_s);
    results.emplace_back("output_tokens_per_server_cpu_s",
                         rate(static_cast<double>(tokens), cpu_s));
    results.emplace_back("server_resident_bytes", server_after.resident_bytes);
  }
  const Status status = report.finish(std::cout, options.json);
  if (!status.ok()) return fail(status);
  return failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace sluice
