// Metrics over prometheus-cpp's core: histograms and counters here, text by its serializer.
#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <utility>

#include "base/types.h"

namespace sluice {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's boundaries; small models on one machine need the ones below 10 ms too.
Buckets first_token_buckets() {
  return {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
          1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
}

Buckets token_gap_buckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
          0.4,   0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};
}

Buckets request_buckets() {
  return {0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 1,   1.5, 2,   2.5, 5,    10,
          15,   20,   30,  40,  50,  60,  120, 240, 480, 960, 1920, 7680};
}

Buckets length_buckets() {
  return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10'000, 20'000, 50'000, 100'000};
}

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

const char* reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kError:
      return "error";
    case FinishReason::kNone:
    case FinishReason::kCancelled:
      break;
  }
  return "abort";
}

// Resident bytes now, from Linux's /proc; 0 where there is none.
double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// What vLLM exports too, and what it calls it: dashboards, alerts, autoscalers and the Gateway API
// Inference Extension ask for these.
struct Alias {
  std::string_view ours;
  const char* vllms;
};
constexpr Alias kVllmNames[] = {
    {"sluice:time_to_first_token_seconds", "vllm:time_to_first_token_seconds"},
    {"sluice:inter_token_latency_seconds", "vllm:inter_token_latency_seconds"},
    {"sluice:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"},  // its older name
    {"sluice:e2e_request_latency_seconds", "vllm:e2e_request_latency_seconds"},
    {"sluice:request_prompt_tokens", "vllm:request_prompt_tokens"},
    {"sluice:request_generation_tokens", "vllm:request_generation_tokens"},
    {"sluice:request_success_total", "vllm:request_success_total"},
    {"sluice:num_requests_running", "vllm:num_requests_running"},
    {"sluice:num_requests_waiting", "vllm:num_requests_waiting"},
    {"sluice:kv_cache_usage_perc", "vllm:kv_cache_usage_perc"},
    {"sluice:cache_config_info", "vllm:cache_config_info"},
    {"sluice:prefix_cache_queries_total", "vllm:prefix_cache_queries_total"},
    {"sluice:prefix_cache_hits_total", "vllm:prefix_cache_hits_total"},
    {"sluice:prompt_tokens_total", "vllm:prompt_tokens_total"},
    {"sluice:generation_tokens_total", "vllm:generation_tokens_total"},
    {"sluice:num_preemptions_total", "vllm:num_preemptions_total"},
};

void append_vllm_names(std::vector<prometheus::MetricFamily>& families) {
  const size_t num_ours = families.size();
  for (size_t i = 0; i < num_ours; ++i) {
    for (const auto& [ours, vllms] : kVllmNames) {
      if (families[i].name != ours) continue;
      families.push_back(prometheus::MetricFamily(families[i]));
      families.back().name = vllms;
    }
  }
}

}  // namespace

struct Metrics::Impl {
  Impl(const std::string& model_name, bool with_vllm_names)
      : vllm_names(with_vllm_names),
        labels{{"model_name", model_name}},
        start_time(static_cast<double>(std::time(nullptr))) {}

  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels,
                                                                                     buckets);
  }
  prometheus::Counter& finished(FinishReason reason) {
    return finished_requests.Add(
        {{"model_name", labels.at("model_name")}, {"finished_reason", reason_name(reason)}});
  }

  const bool vllm_names;
  prometheus::Registry registry;
  const prometheus::Labels labels;
  const double start_time;
  prometheus::Histogram& first_token = histogram("sluice:time_to_first_token_seconds",
                                                 "Arrival to first token.", first_token_buckets());
  prometheus::Histogram& token_gap =
      histogram("sluice:inter_token_latency_seconds", "Between two tokens of one choice.",
                token_gap_buckets());
  prometheus::Histogram& request_latency = histogram(
      "sluice:e2e_request_latency_seconds", "Arrival to the end of a choice.", request_buckets());
  prometheus::Histogram& prompt_length = histogram(
      "sluice:request_prompt_tokens", "Prompt tokens of finished choices.", length_buckets());
  prometheus::Histogram& output_length = histogram(
      "sluice:request_generation_tokens", "Output tokens of finished choices.", length_buckets());
  prometheus::Family<prometheus::Counter>& finished_requests =
      prometheus::BuildCounter()
          .Name("sluice:request_success_total")
          .Help("Choices that ended, by reason.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& http_requests = prometheus::BuildCounter()
                                                               .Name("sluice:http_requests_total")
                                                               .Help("Answered HTTP requests.")
                                                               .Register(registry);
  prometheus::Family<prometheus::Counter>& grpc_requests = prometheus::BuildCounter()
                                                               .Name("sluice:grpc_requests_total")
                                                               .Help("Answered gRPC calls.")
                                                               .Register(registry);
};

Metrics::Metrics(const std::string& model_name, bool vllm_names)
    : impl_(std::make_unique<Impl>(model_name, vllm_names)) {
  for (const FinishReason reason : {FinishReason::kStop, FinishReason::kLength,
                                    FinishReason::kCancelled, FinishReason::kError}) {
    impl_->finished(reason);  // a series that exists from the start can be rated
  }
}

Metrics::~Metrics() = default;

void Metrics::count_http(std::string_view route, int code) {
  impl_->http_requests.Add({{"route", std::string(route)}, {"code", std::to_string(code)}})
      .Increment();
}

void Metrics::count_grpc(std::string_view method, std::string_view code) {
  impl_->grpc_requests.Add({{"method", std::string(method)}, {"code", std::string(code)}})
      .Increment();
}

namespace {

prometheus::MetricFamily single(const char* name, const char* help, prometheus::MetricType type,
                                double value, const prometheus::Labels& labels) {
  prometheus::ClientMetric metric;
  for (const auto& [key, text] : labels) metric.label.push_back({key, text});
  metric.gauge.value = value;
  metric.counter.value = value;
  return {name, help, type, {metric}};
}

}  // namespace

std::string Metrics::scrape(const EngineStats& stats) {
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  constexpr auto kCounter = prometheus::MetricType::Counter;
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  const auto add = [&](const char* name, const char* help, prometheus::MetricType type,
                       double value) {
    families.push_back(single(name, help, type, value, impl_->labels));
  };
  const auto total = [&](const char* name, const char* help, int64_t value) {
    add(name, help, kCounter, static_cast<double>(value));
  };
  const auto blocks = static_cast<double>(stats.kv.blocks_total);
  add("sluice:num_requests_running", "Choices in the running batch.", kGauge,
      static_cast<double>(stats.num_running));
  add("sluice:num_requests_waiting", "Choices waiting to run.", kGauge,
      static_cast<double>(stats.num_waiting));
  add("sluice:kv_cache_usage_perc", "Share of the KV blocks in use, 0 to 1.", kGauge,
      blocks > 0 ? static_cast<double>(stats.kv.blocks_held) / blocks : 0.0);
  prometheus::Labels cache = impl_->labels;
  cache["block_size"] = std::to_string(kBlockTokens);
  cache["num_gpu_blocks"] = std::to_string(stats.kv.blocks_total);
  families.push_back(single("sluice:cache_config_info", "1, labelled with the KV cache's size.",
                            kGauge, 1, cache));
  total("sluice:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
        stats.kv.prefix_query_tokens);
  total("sluice:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
        stats.kv.prefix_hit_tokens);
  total("sluice:prompt_tokens_total", "Prompt tokens computed.", stats.prompt_tokens);
  total("sluice:generation_tokens_total", "Tokens generated.", stats.generation_tokens);
  total("sluice:num_preemptions_total", "Preemptions.", stats.preemptions);
  total("sluice:engine_steps_total", "Steps of the engine.", stats.steps);
  add("sluice:decode_gap_seconds_max", "Longest time between two tokens of one choice.", kGauge,
      stats.decode_gap_ms_max / 1e3);
  add("sluice:last_step_age_seconds", "Since a step ended, while work waits; else 0.", kGauge,
      static_cast<double>(stats.last_step_age_ms) / 1e3);
  families.push_back(
      single("process_resident_memory_bytes", "Resident memory.", kGauge, resident_bytes(), {}));
  families.push_back(single("process_start_time_seconds", "Start, in seconds since the epoch.",
                            kGauge, impl_->start_time, {}));
  if (impl_->vllm_names) append_vllm_names(families);
  return prometheus::TextSerializer().Serialize(families);
}

GenerationTimer::GenerationTimer(Metrics& metrics, TimePoint arrival, int num_choices)
    : metrics_(&metrics), arrival_(arrival), choices_(static_cast<size_t>(num_choices)) {}

GenerationTimer::~GenerationTimer() {
  for (const Choice& choice : choices_) {
    if (!choice.finished) metrics_->impl_->finished(FinishReason::kCancelled).Increment();
  }
}

void GenerationTimer::on_tokens(int choice, int64_t num_tokens, TimePoint time) {
  Choice& c = choices_.at(static_cast<size_t>(choice));
  if (num_tokens <= 0) return;
  if (c.tokens == 0) {
    metrics_->impl_->first_token.Observe(seconds(time - arrival_));
  } else {
    const double gap = seconds(time - c.last_token) / static_cast<double>(num_tokens);
    for (int64_t i = 0; i < num_tokens; ++i) metrics_->impl_->token_gap.Observe(gap);
  }
  c.tokens += num_tokens;
  c.last_token = time;
}

void GenerationTimer::on_finish(int choice, FinishReason reason, int64_t prompt_tokens,
                                TimePoint time) {
  Choice& c = choices_.at(static_cast<size_t>(choice));
  c.finished = true;
  Metrics::Impl& impl = *metrics_->impl_;
  impl.finished(reason).Increment();
  impl.request_latency.Observe(seconds(time - arrival_));
  impl.prompt_length.Observe(static_cast<double>(prompt_tokens));
  impl.output_length.Observe(static_cast<double>(c.tokens));
}

}  // namespace sluice
