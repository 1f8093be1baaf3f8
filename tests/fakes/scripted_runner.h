// ScriptedRunner: a ModelRunner whose choice c answers with scripts[c], token by token, so that a
// test knows the text before it asks. After the script: its last token again and again. A masked
// choice takes its script's token where the mask has it, else the mask's first.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/runner/model_runner.h"

namespace sluice {

class ScriptedRunner final : public ModelRunner {
 public:
  explicit ScriptedRunner(std::vector<std::vector<TokenId>> scripts)
      : scripts_(std::move(scripts)) {}

  // Every token's logprob; the one beside it is the id after it, at twice that.
  static constexpr float kLogprob = -0.5F;

  int max_in_flight() const override { return 1; }

  Ticket launch(const StepPlan& plan) override {
    StepResult result;
    for (const StepEntry& entry : plan.entries) {
      StepOutput& output = result.outputs.emplace_back();
      const Sequence& sequence = *entry.sequence;
      if (entry.samples) {
        const auto& script = scripts_.at(static_cast<size_t>(sequence.choice));
        const auto at = static_cast<size_t>(sequence.num_output());
        output.token = at < script.size() ? script[at] : script.back();
        output.logprob = score(output.token);
      }
      for (int64_t row = entry.score_first; row < entry.score_last; ++row) {
        output.prompt_logprobs.push_back(score(sequence.tokens[static_cast<size_t>(row) + 1]));
      }
    }
    results_.push_back(std::move(result));
    return {++num_launched_};
  }

  void sample(const StepPlan& plan) override {
    for (size_t i = 0; i < plan.entries.size(); ++i) {
      const StepEntry& entry = plan.entries[i];
      if (!entry.masked || entry.sequence->state == SequenceState::kFinished) continue;
      const std::span<const uint32_t> mask = entry.sequence->constraint->mask();
      const auto has = [&](TokenId id) {
        return (mask[static_cast<size_t>(id) / 32] >> id % 32 & 1) != 0;
      };
      StepOutput& output = results_.back().outputs[i];
      if (has(output.token)) continue;
      output.token = 0;
      while (!has(output.token)) ++output.token;
      output.logprob = score(output.token);
    }
  }

  StepResult collect(Ticket /*ticket*/) override {
    SLUICE_CHECK(!results_.empty());
    StepResult result = std::move(results_.front());
    results_.pop_front();
    return result;
  }

 private:
  static TokenLogprob score(TokenId token) {
    return {kLogprob, 1, {{token, kLogprob}, {token + 1, 2 * kLogprob}}};
  }

  std::vector<std::vector<TokenId>> scripts_;  // by choice
  std::deque<StepResult> results_;             // launched, not collected
  uint64_t num_launched_ = 0;
};

}  // namespace sluice
