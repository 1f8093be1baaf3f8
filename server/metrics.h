// Metrics: what Prometheus scrapes: sluice:NAME, and again as vllm:NAME where vLLM has it.
// Thread-safe.
//
// Counters of requests are kept here; totals and gauges of the engine are read from EngineStats at
// the scrape, so the two cannot drift apart.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine_stats.h"
#include "engine/output_stream.h"

namespace sluice {

class Metrics {
 public:
  // `vllm_names`: what vLLM has too is exported under its names as well.
  explicit Metrics(const std::string& model_name, bool vllm_names = true);
  ~Metrics();

  // One answered HTTP request. `route` is a pattern of the router, never a client's path.
  void count_http(std::string_view route, int code);
  // One answered gRPC call: a method of ours, a status name of gRPC's.
  void count_grpc(std::string_view method, std::string_view code);
  // The exposition text (version 0.0.4).
  std::string scrape(const EngineStats& stats);

 private:
  friend class GenerationTimer;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The times of one generation: its arrival, each choice's tokens, its ends. One thread at a time.
// Choices that have not finished when it is destroyed count as aborted.
class GenerationTimer {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `metrics` must outlive the timer.
  GenerationTimer(Metrics& metrics, TimePoint arrival, int num_choices);
  ~GenerationTimer();
  GenerationTimer(const GenerationTimer&) = delete;
  GenerationTimer& operator=(const GenerationTimer&) = delete;

  // `num_tokens` tokens more of `choice`, the last of them made at `time`. Several tokens share the
  // time since the last one evenly.
  void on_tokens(int choice, int64_t num_tokens, TimePoint time);
  // `choice` has ended, for `reason`, after a prompt of `prompt_tokens`.
  void on_finish(int choice, FinishReason reason, int64_t prompt_tokens, TimePoint time);

 private:
  struct Choice {
    TimePoint last_token;
    int64_t tokens = 0;
    bool finished = false;
  };
  Metrics* metrics_;
  TimePoint arrival_;
  std::vector<Choice> choices_;
};

}  // namespace sluice
