// Names of the metrics.
#include "server/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

namespace sluice {
namespace {

// The families of a scrape.
std::set<std::string> families(const std::string& scraped) {
  std::set<std::string> names;
  std::istringstream lines(scraped);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, keyword, name;
    if (words >> hash >> keyword >> name && hash == "#" && keyword == "TYPE") names.insert(name);
  }
  return names;
}

TEST(Metrics, WhatVllmHasIsThereUnderBothNames) {
  const std::set<std::string> names = families(Metrics("tiny").scrape({}));
  // Read by dashboards for vLLM and by the Gateway API Inference Extension.
  for (const char* name :
       {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "cache_config_info",
        "prompt_tokens_total", "generation_tokens_total", "request_success_total",
        "time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
        "request_prompt_tokens", "request_generation_tokens", "prefix_cache_queries_total",
        "prefix_cache_hits_total", "num_preemptions_total"}) {
    EXPECT_TRUE(names.contains(std::string("sluice:") + name)) << name;
    EXPECT_TRUE(names.contains(std::string("vllm:") + name)) << name;
  }
  EXPECT_TRUE(names.contains("vllm:time_per_output_token_seconds"));
  EXPECT_TRUE(names.contains("sluice:engine_steps_total"));
}

TEST(Metrics, VllmsNamesCanBeLeftOut) {
  const std::set<std::string> names = families(Metrics("tiny", false).scrape({}));
  EXPECT_TRUE(names.contains("sluice:num_requests_running"));
  for (const std::string& name : names) EXPECT_FALSE(name.starts_with("vllm:")) << name;
}

TEST(Metrics, BothNamesHaveTheSameValue) {
  Metrics metrics("tiny");
  GenerationTimer timer(metrics, {}, 1);
  timer.on_tokens(0, 1, GenerationTimer::TimePoint(std::chrono::seconds(1)));
  EngineStats stats;
  stats.kv.blocks_total = 8;
  stats.num_waiting = 5;
  const std::string scraped = metrics.scrape(stats);
  for (const char* prefix : {"sluice:", "vllm:"}) {
    for (const char* line :
         {"time_to_first_token_seconds_sum{model_name=\"tiny\"} 1\n",
          "num_requests_waiting{model_name=\"tiny\"} 5\n",
          "cache_config_info{block_size=\"64\",model_name=\"tiny\",num_gpu_blocks=\"8\"} 1\n"}) {
      EXPECT_NE(scraped.find(std::string(prefix) + line), std::string::npos) << prefix << line;
    }
  }
}

}  // namespace
}  // namespace sluice
