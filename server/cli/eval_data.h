// What evaluations compare with: a model's golden/golden.json and golden/eval.jsonl, and the
// verdicts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "server/cli/offline.h"

namespace sluice {

// One prompt with the float32 reference implementation's greedy answer.
struct GoldenCase {
  std::vector<TokenId> prompt_ids;
  std::vector<TokenId> top_ids;  // best first, of the first step
  std::vector<double> top_logprobs;
  std::vector<TokenId> greedy_ids;  // the end-of-sequence id included
  std::vector<double> greedy_logprobs;
  std::vector<double> top2_gap;  // best logprob less the second best, a value a step
};

struct GoldenVerdict {
  int64_t num_equal = 0;  // leading ids that agree
  bool ids_ok = false;    // all do, or the first that differs is a near tie of the best two
  double error = 0;  // largest of logprobs, over the leading ids and the first step's best ones
};

// `completion` is greedy, with logprobs and the best ones beside them, as long as the case's
// answer. Either of two tokens may be chosen whose logprobs lie closer than `tolerance`, by which
// each may be off.
GoldenVerdict judge(const GoldenCase& golden, const Completion& completion, double tolerance);

// A question about a text that the prompt holds.
struct RetrievalCase {
  std::string task;
  int64_t tokens = 0;  // length of the prompt
  std::vector<TokenId> prompt_ids;
  std::string answer;
  bool dense_correct = false;  // the reference implementation's whole answer was right
};

// "1k", "4k": the length in thousands of tokens, rounded down.
std::string length_bucket(int64_t tokens);

// Fail with the file, and the line of a .jsonl, that cannot be read.
Result<std::vector<GoldenCase>> read_golden(const std::string& path);
Result<std::vector<RetrievalCase>> read_retrieval(const std::string& path);

// At most `limit` of 0 ... count - 1, spread evenly; 0: all.
std::vector<size_t> spread(size_t count, int64_t limit);

}  // namespace sluice
