// A model on the CPU backend behind a LocalRunner, driven without an engine: for tests of numbers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/model/model_loader.h"
#include "engine/runner/local_runner.h"
#include "kernels/backend.h"
#include "kvcache/kv_storage.h"

namespace sluice {

struct HarnessOptions {
  ModelOptions model;
  DType kv_dtype = DType::kF32;
  int num_blocks = 64;
  int max_num_batched_tokens = 512;
  int max_in_flight = 1;
};

// One sequence to be continued; blocks of its own, never given back.
struct HarnessRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  std::vector<TokenId> eos_ids;
};

class ModelHarness {
 public:
  // Throws with the loader's message where something is missing.
  explicit ModelHarness(const HarnessOptions& options);

  const ModelConfig& config() const { return config_; }
  LocalRunner& runner() { return *runner_; }
  // A running sequence with blocks for all of its tokens.
  std::shared_ptr<Sequence> add(const HarnessRequest& request);
  // Plans everything of `sequence` that is not computed yet, at most `max_tokens` of it.
  static StepEntry next_chunk(const std::shared_ptr<Sequence>& sequence, int64_t max_tokens);
  // One step; advances the sequences and appends what they sampled.
  StepResult step(const StepPlan& plan);
  // Runs the requests together, prompts in chunks of at most `chunk` tokens, to max_tokens or an
  // eos id each. Outputs of the sampling steps by request; prompt logprobs in the first of them.
  std::vector<std::vector<StepOutput>> generate(const std::vector<HarnessRequest>& requests,
                                                int64_t chunk);

 private:
  HarnessOptions options_;
  ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<DecoderModel> model_;
  std::unique_ptr<KvStorage> storage_;
  std::unique_ptr<LocalRunner> runner_;
  BlockId next_block_ = 0;
};

}  // namespace sluice
