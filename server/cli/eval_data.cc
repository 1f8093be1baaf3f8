// Reads golden files and judges answers.
#include "server/cli/eval_data.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace sluice {

// Found by nlohmann::json through the types' namespace.
void from_json(const nlohmann::json& json, GoldenCase& golden) {
  json.at("prompt_ids").get_to(golden.prompt_ids);
  json.at("top10_ids").get_to(golden.top_ids);
  json.at("top10_logprobs").get_to(golden.top_logprobs);
  json.at("greedy_ids").get_to(golden.greedy_ids);
  json.at("greedy_logprobs").get_to(golden.greedy_logprobs);
  json.at("top2_gap").get_to(golden.top2_gap);
}

void from_json(const nlohmann::json& json, RetrievalCase& retrieval) {
  json.at("task").get_to(retrieval.task);
  json.at("tokens").get_to(retrieval.tokens);
  json.at("prompt_ids").get_to(retrieval.prompt_ids);
  json.at("answer").get_to(retrieval.answer);
  json.at("dense_correct").get_to(retrieval.dense_correct);
}

namespace {

Status check(const GoldenCase& golden) {
  const size_t steps = golden.greedy_ids.size();
  if (golden.prompt_ids.empty() || steps == 0 || golden.greedy_logprobs.size() != steps ||
      golden.top2_gap.size() != steps || golden.top_ids.size() != golden.top_logprobs.size()) {
    return invalid_argument("a case's lists are empty or differ in length");
  }
  return {};
}

Status unreadable(const std::string& path, const std::string& why) {
  return invalid_argument(str(path, ": ", why), path);
}

void compare(double expected, double found, GoldenVerdict& verdict) {
  double error = std::abs(expected - found);
  if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
  verdict.error = std::max(verdict.error, error);
}

}  // namespace

GoldenVerdict judge(const GoldenCase& golden, const Completion& completion, double tolerance) {
  GoldenVerdict verdict;
  const size_t steps =
      std::min({golden.greedy_ids.size(), completion.tokens.size(), completion.logprobs.size()});
  size_t step = 0;
  for (; step < steps && golden.greedy_ids[step] == completion.tokens[step]; ++step) {
    compare(golden.greedy_logprobs[step], completion.logprobs[step].logprob, verdict);
  }
  verdict.num_equal = static_cast<int64_t>(step);
  verdict.ids_ok = step == golden.greedy_ids.size() ||
                   (step < completion.tokens.size() && golden.top2_gap[step] < tolerance);
  if (completion.logprobs.empty()) return verdict;
  for (const TopLogprob& top : completion.logprobs.front().top) {
    const auto found = std::find(golden.top_ids.begin(), golden.top_ids.end(), top.id);
    if (found == golden.top_ids.end()) continue;
    compare(golden.top_logprobs[static_cast<size_t>(found - golden.top_ids.begin())], top.logprob,
            verdict);
  }
  return verdict;
}

std::string length_bucket(int64_t tokens) { return str(tokens / 1000, "k"); }

Result<std::vector<GoldenCase>> read_golden(const std::string& path) {
  std::ifstream file(path);
  if (!file) return unreadable(path, "cannot be read");
  std::vector<GoldenCase> cases;
  try {
    nlohmann::json::parse(file).get_to(cases);
  } catch (const nlohmann::json::exception& error) {
    return unreadable(path, error.what());
  }
  for (const GoldenCase& golden : cases) {
    if (const Status status = check(golden); !status.ok()) {
      return unreadable(path, status.message());
    }
  }
  return cases;
}

Result<std::vector<RetrievalCase>> read_retrieval(const std::string& path) {
  std::ifstream file(path);
  if (!file) return unreadable(path, "cannot be read");
  std::vector<RetrievalCase> cases;
  for (std::string line; std::getline(file, line);) {
    try {
      cases.push_back(nlohmann::json::parse(line).get<RetrievalCase>());
    } catch (const nlohmann::json::exception& error) {
      return unreadable(str(path, ":", cases.size() + 1), error.what());
    }
  }
  return cases;
}

std::vector<size_t> spread(size_t count, int64_t limit) {
  const size_t chosen = limit <= 0 ? count : std::min(count, static_cast<size_t>(limit));
  std::vector<size_t> indices(chosen);
  for (size_t i = 0; i < chosen; ++i) indices[i] = i * count / chosen;
  return indices;
}

}  // namespace sluice
