// The shortest scheduler there is.
#include "model_harness.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {

ModelHarness::ModelHarness(const HarnessOptions& options)
    : options_(options),
      config_(read_model_config(options.model.path).value()),
      backend_(make_cpu_backend(/*num_threads=*/2)),
      model_(load_decoder_model(options.model, config_, *backend_).value()),
      storage_(std::make_unique<KvStorage>(
          KvStorage::create(*backend_, model_->kv_layout(options.kv_dtype), options.num_blocks)
              .value())),
      runner_(std::make_unique<LocalRunner>(
          *backend_, *model_, *storage_,
          StepMemory::create(*backend_, *model_,
                             {.max_num_batched_tokens = options.max_num_batched_tokens,
                              .max_in_flight = options.max_in_flight})
              .value())) {}

std::shared_ptr<Sequence> ModelHarness::add(const HarnessRequest& request) {
  auto asked = std::make_shared<Request>();
  asked->prompt = request.prompt;
  asked->sampling = request.sampling;
  asked->eos_ids = request.eos_ids;
  auto sequence = std::make_shared<Sequence>();
  sequence->request = asked;
  sequence->tokens = request.prompt;
  sequence->state = SequenceState::kRunning;
  sequence->seed = request.sampling.seed.value_or(0);
  const int64_t most = sequence->prompt_len() + request.sampling.max_tokens;
  for (int64_t i = 0; i < ceil_div(most, kBlockTokens); ++i)
    sequence->table.blocks.push_back(next_block_++);
  SLUICE_CHECK_LE(next_block_, options_.num_blocks);
  return sequence;
}

StepEntry ModelHarness::next_chunk(const std::shared_ptr<Sequence>& sequence, int64_t max_tokens) {
  StepEntry entry{.sequence = sequence, .first = sequence->num_computed};
  const int64_t left = sequence->num_tokens() - entry.first;
  entry.num_new = static_cast<int>(std::min(left, max_tokens));
  entry.samples = entry.num_new == left;
  if (sequence->request->sampling.prompt_logprobs) {
    const int64_t last_scored = sequence->prompt_len() - 1;  // the row of the last prompt token
    entry.score_first = std::min(entry.first, last_scored);
    entry.score_last = std::min(entry.first + entry.num_new, last_scored);
  }
  return entry;
}

StepResult ModelHarness::step(const StepPlan& plan) {
  StepResult result = runner_->collect(runner_->launch(plan));
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const StepEntry& entry = plan.entries[i];
    entry.sequence->num_computed += entry.num_new;
    if (entry.samples) entry.sequence->tokens.push_back(result.outputs[i].token);
  }
  return result;
}

std::vector<std::vector<StepOutput>> ModelHarness::generate(
    const std::vector<HarnessRequest>& requests, int64_t chunk) {
  std::vector<std::shared_ptr<Sequence>> sequences;
  for (const HarnessRequest& request : requests) sequences.push_back(add(request));
  std::vector<std::vector<StepOutput>> outputs(requests.size());
  std::vector<std::vector<TokenLogprob>> scored(requests.size());
  while (true) {
    StepPlan plan;
    std::vector<size_t> planned;
    int64_t budget = options_.max_num_batched_tokens;
    for (size_t i = 0; i < sequences.size() && budget > 0; ++i) {
      if (sequences[i]->state == SequenceState::kFinished) continue;
      plan.entries.push_back(next_chunk(sequences[i], std::min(chunk, budget)));
      budget -= plan.entries.back().num_new;
      planned.push_back(i);
    }
    if (plan.entries.empty()) return outputs;
    StepResult result = step(plan);
    for (size_t p = 0; p < planned.size(); ++p) {
      const size_t i = planned[p];
      StepOutput& output = result.outputs[p];
      scored[i].insert(scored[i].end(), output.prompt_logprobs.begin(),
                       output.prompt_logprobs.end());
      if (!plan.entries[p].samples) continue;
      output.prompt_logprobs = std::exchange(scored[i], {});
      const std::vector<TokenId>& eos = requests[i].eos_ids;
      outputs[i].push_back(output);
      const bool ended = std::find(eos.begin(), eos.end(), output.token) != eos.end();
      if (ended || sequences[i]->num_output() == requests[i].sampling.max_tokens)
        sequences[i]->state = SequenceState::kFinished;
    }
  }
}

}  // namespace sluice
