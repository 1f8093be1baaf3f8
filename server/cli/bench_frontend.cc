// `sluice bench frontend`: what it costs to bring tokens to clients. The service and both fronts
// over an engine whose model computes nothing, read by clients in another process.
#include <algorithm>
#include <charconv>
#include <iostream>
#include <thread>

#include "base/text.h"
#include "server/cli/assembly.h"
#include "server/cli/command.h"
#include "server/cli/echo_runner.h"
#include "server/cli/report.h"
#include "server/cli/stream_clients.h"
#include "server/grpc/grpc_frontend.h"
#include "server/http/http_frontend.h"
#include "server/local_service.h"
#include "server/metrics.h"

namespace sluice {
namespace {

constexpr const char* kGroup = "Frontend";
constexpr int64_t kMaxStreams = 4096;
constexpr int64_t kWarmUpTokens = 8;
constexpr std::chrono::milliseconds kUnreadPoll{20};
constexpr const char* kHttp = "http";
constexpr const char* kGrpc = "grpc";

LocalServiceOptions service_options() {
  LocalServiceOptions options;
  options.names = {"echo"};
  return options;
}

struct FrontendBenchOptions {
  std::string tokenizer;
  std::vector<std::string> streams = {"1", "32", "256"};
  std::vector<std::string> fronts = {kHttp, kGrpc};
  int64_t output_len = 200;
  double step_ms = 20;
  int64_t http_threads = HttpOptions().threads;
  int64_t grpc_threads = GrpcOptions().threads;
  std::string json;
};

void add_options(OptionSet& set, FrontendBenchOptions& options) {
  const auto add = [&](const char* name, Option::Target target, const char* help, double min = 0,
                       double max = 0) {
    set.add({.name = name,
             .group = kGroup,
             .target = target,
             .help = help,
             .min = min,
             .max = max,
             .command_line_only = true});
  };
  add("tokenizer", &options.tokenizer,
      "Directory with the tokenizer's files. Default: the embedded model's");
  add("streams", &options.streams, "Streams at once; repeat it for several rows");
  add("front", &options.fronts, "http or grpc; repeat it for both");
  add("output-len", &options.output_len, "Tokens of each stream", 2, 1 << 20);
  add("step-ms", &options.step_ms,
      "Time of an engine step, which brings each stream one token; if it is long enough, each is "
      "an event of its own",
      0, 1e4);
  add("http-threads", &options.http_threads, "As of serve", 1, 64);
  add("grpc-threads", &options.grpc_threads, "As of serve", 1, 64);
  add_json_option(set, kGroup, options.json);
}

Result<std::vector<int64_t>> stream_counts(const std::vector<std::string>& texts) {
  std::vector<int64_t> counts;
  for (const std::string& text : texts) {
    int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || end != text.data() + text.size() || count < 1 ||
        count > kMaxStreams) {
      return invalid_argument(str("--streams is '", text, "'; allowed: 1 ... ", kMaxStreams),
                              "streams");
    }
    counts.push_back(count);
  }
  return counts;
}

Status check_fronts(const std::vector<std::string>& fronts) {
  for (const std::string& front : fronts) {
    if (front == kHttp || front == kGrpc) continue;
    return invalid_argument(str("--front is '", front, "'; allowed: http, grpc"), "front");
  }
  return {};
}

// Engine, service and both fronts, in the order of their making.
class FrontendBench {
 public:
  FrontendBench(const FrontendBenchOptions& options, std::shared_ptr<const ModelText> text,
                int64_t max_streams)
      : options_(options),
        text_(std::move(text)),
        prompt_(text_->tokenizer->encode(StreamClients::prompt())),
        max_streams_(max_streams),
        service_(service_options()) {}

  Status start();
  // One row of the report: the cost of `streams` streams.
  Result<ReportRow> measure(const StreamClients& clients, const std::string& front,
                            int64_t streams);

 private:
  // Has clients read `streams` streams of `tokens` tokens each; fails if one of them does.
  Result<StreamClients::Outcome> read(const StreamClients& clients, const std::string& front,
                                      int64_t streams, int64_t tokens) const;
  void run_unread(int64_t streams);

  const FrontendBenchOptions& options_;
  std::shared_ptr<const ModelText> text_;
  std::vector<TokenId> prompt_;
  int64_t max_streams_;
  EchoRunner* runner_ = nullptr;  // the engine's
  std::unique_ptr<Engine> engine_;
  LocalService service_;
  Metrics metrics_{"echo"};
  std::unique_ptr<HttpFrontend> http_;
  std::unique_ptr<GrpcFrontend> grpc_;
};

Status FrontendBench::start() {
  const auto length = static_cast<int64_t>(prompt_.size()) + options_.output_len;
  const int64_t blocks = max_streams_ * ceil_div(length, kBlockTokens);
  const EngineConfig config{
      .vocab_size = text_->tokenizer->vocab_size(),
      .max_model_len = length,
      .num_blocks = static_cast<int>(blocks),
      .max_num_seqs = static_cast<int>(max_streams_),
      .max_num_batched_tokens = static_cast<int>(max_streams_ * length),
      .max_queued_requests = static_cast<int>(max_streams_),
      .min_prefill_tokens = static_cast<int>(max_streams_ * length),
  };
  SLUICE_RETURN_IF_ERROR(config.validate());
  const auto period = std::chrono::duration<double, std::milli>(options_.step_ms);
  auto runner =
      std::make_unique<EchoRunner>(std::chrono::duration_cast<EchoRunner::Clock::duration>(period));
  runner_ = runner.get();
  engine_ = std::make_unique<Engine>(config, std::move(runner));
  engine_->start();
  ServedModel model;
  model.engine = engine_.get();
  model.text = text_;
  model.vocab_size = config.vocab_size;
  model.max_model_len = config.max_model_len;
  service_.open(std::move(model));

  HttpOptions http;
  http.port = 0;
  http.threads = static_cast<int>(options_.http_threads);
  Result<std::unique_ptr<HttpFrontend>> over_http = HttpFrontend::start(service_, metrics_, http);
  if (!over_http.ok()) return over_http.status();
  http_ = std::move(over_http).value();
  GrpcOptions grpc;
  grpc.port = 0;
  grpc.threads = static_cast<int>(options_.grpc_threads);
  grpc.max_streams_per_connection = static_cast<int>(max_streams_);
  Result<std::unique_ptr<GrpcFrontend>> over_grpc = GrpcFrontend::start(service_, metrics_, grpc);
  if (!over_grpc.ok()) return over_grpc.status();
  grpc_ = std::move(over_grpc).value();
  return {};
}

Result<StreamClients::Outcome> FrontendBench::read(const StreamClients& clients,
                                                   const std::string& front, int64_t streams,
                                                   int64_t tokens) const {
  const bool over_grpc = front == kGrpc;
  const int port = over_grpc ? grpc_->port() : http_->port();
  Result<StreamClients::Outcome> outcome =
      clients.run({.over_grpc = over_grpc, .port = port, .streams = streams, .output_len = tokens});
  if (outcome.ok() && outcome->failures > 0) {
    return Status(StatusCode::kInternal,
                  str(outcome->failures, " of ", streams, " streams failed"));
  }
  return outcome;
}

// The same requests straight into the engine, and nobody who reads them.
void FrontendBench::run_unread(int64_t streams) {
  const int64_t finished_before = engine_->stats().requests_finished;
  for (int64_t i = 0; i < streams; ++i) {
    auto request = std::make_shared<Request>();
    request->id = str("unread-", i);
    request->prompt = prompt_;
    request->sampling.max_tokens = options_.output_len;
    request->sampling.temperature = 0;
    request->output = std::make_shared<OutputStream>();
    SLUICE_CHECK(engine_->submit(request).ok());
  }
  while (engine_->stats().requests_finished < finished_before + streams) {
    std::this_thread::sleep_for(kUnreadPoll);
  }
}

Result<ReportRow> FrontendBench::measure(const StreamClients& clients, const std::string& front,
                                         int64_t streams) {
  Result<StreamClients::Outcome> outcome = read(clients, front, streams, kWarmUpTokens);
  if (!outcome.ok()) return outcome.status();
  runner_->watch(static_cast<int>(streams));
  outcome = read(clients, front, streams, options_.output_len);
  const EchoRunner::Window fed = runner_->watched();
  if (!outcome.ok()) return outcome.status();
  runner_->watch(static_cast<int>(streams));
  run_unread(streams);
  const EchoRunner::Window unread = runner_->watched();
  if (fed.steps == 0 || unread.steps == 0) {
    return Status(StatusCode::kInternal,
                  str(streams, " streams never ran all at once; take a longer --output-len"));
  }
  const auto steps = static_cast<double>(fed.steps);
  const double tokens = steps * static_cast<double>(streams);
  constexpr double kMicro = 1e6;
  return ReportRow{
      {"front", front},
      {"streams", streams},
      {"tokens", fed.steps * streams},
      {"events_per_token",
       static_cast<double>(outcome->events) / static_cast<double>(streams * options_.output_len)},
      {"tokens_per_cpu_s", rate(tokens, fed.process_cpu_s)},
      {"cpu_us_per_token", kMicro * rate(fed.process_cpu_s, tokens)},
      {"engine_us_per_step", kMicro * rate(fed.engine_cpu_s, steps)},
      {"unread_us_per_step", kMicro * rate(unread.engine_cpu_s, static_cast<double>(unread.steps))},
      {"ms_per_step", 1e3 * rate(fed.wall_s, steps)}};
}

Status run(const FrontendBenchOptions& options, const StreamClients& clients, Report& report) {
  const Result<std::vector<int64_t>> counts = stream_counts(options.streams);
  if (!counts.ok()) return counts.status();
  SLUICE_RETURN_IF_ERROR(check_fronts(options.fronts));
  const Result<std::string> tokenizer = resolve_model(options.tokenizer);
  if (!tokenizer.ok()) return tokenizer.status();
  Result<ModelText> text = load_model_text(tokenizer.value());
  if (!text.ok()) return text.status();
  FrontendBench bench(options, std::make_shared<ModelText>(std::move(text).value()),
                      std::ranges::max(counts.value()));
  SLUICE_RETURN_IF_ERROR(bench.start());
  add_machine(report);
  report.section("workload") = {{"output_len", options.output_len},
                                {"step_ms", options.step_ms},
                                {"http_threads", options.http_threads},
                                {"grpc_threads", options.grpc_threads}};
  for (const std::string& front : options.fronts) {
    for (const int64_t streams : counts.value()) {
      Result<ReportRow> row = bench.measure(clients, front, streams);
      if (!row.ok()) return row.status();
      report.add_row("results", std::move(row).value());
    }
  }
  return {};
}

}  // namespace

int run_bench_frontend(const Arguments& arguments) {
  OptionSet set("bench frontend",
                "Times what brings tokens to clients: service, HTTP and gRPC, without a model.");
  FrontendBenchOptions options;
  add_options(set, options);
  if (const auto status = read_options(set, arguments)) return *status;
  const Result<StreamClients> clients = StreamClients::start();  // before there is any thread
  if (!clients.ok()) return fail(clients.status());
  Report report;
  if (const Status status = run(options, clients.value(), report); !status.ok()) {
    return fail(status);
  }
  const Status status = report.finish(std::cout, options.json);
  return status.ok() ? kExitOk : fail(status);
}

}  // namespace sluice
