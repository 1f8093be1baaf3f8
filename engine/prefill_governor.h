// PrefillGovernor: how many prompt tokens may run beside decodes, so that a step takes about a
// given time.
//
// A proportional controller on measured steps, without a model of the device: a mixed step that
// took t ms with p prompt tokens suggests p * (gap / t) for the next one. It follows load, context
// length and machine by itself; a few steps after a change it is right. Until it has steered for
// the first time, steps of prompts alone, which seldom see a mixed step's worth of keys, tell it
// where to begin.
#pragma once

namespace sluice {

class PrefillGovernor {
 public:
  // The budget stays within [min_tokens, max_tokens]; it starts at min_tokens.
  PrefillGovernor(double gap_ms, int min_tokens, int max_tokens);

  int budget() const { return static_cast<int>(budget_); }
  // A step with `decodes` decoding sequences and `prefill_tokens` other tokens took step_ms.
  void observe(int decodes, int prefill_tokens, double step_ms);

 private:
  void move_to(double tokens);

  double gap_ms_;
  int min_tokens_;
  int max_tokens_;
  double budget_;
  bool steered_ = false;  // a mixed step has moved the budget
};

}  // namespace sluice
