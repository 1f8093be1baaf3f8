// Constraint: the way of one choice through its request's grammar, and the mask of its next token.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/grammar.h"

namespace sluice {

struct Request;

// The engine thread hands over tokens and reads results; in between, one worker fills. A preemption
// changes nothing here, since it takes no token back.
class Constraint {
 public:
  enum class Verdict : uint8_t {
    kContinue,  // the next token is one of the mask's
    kEnd,       // the answer is whole, and nothing may follow
    kFailed,    // no token can go on, or the grammar is to blame otherwise: see failure()
  };

  // Borrows nothing of `request`, which has a grammar.
  Constraint(const Request& request, int vocab_size);

  // The next fill() makes the mask of the token that follows `tokens`, the prompt included; those
  // told before are the first of them. O(new tokens).
  void advance_to(std::span<const TokenId> tokens);
  // How many tokens the last advance_to() had.
  int64_t position() const { return position_; }

  // Does not throw. The grammar's end is allowed by the request's end-of-sequence ids (unless it
  // ignores them) and its stop ids.
  void fill();
  Verdict verdict() const { return verdict_; }
  const Status& failure() const { return failure_; }
  std::span<const uint32_t> mask() const { return mask_; }

 private:
  void fill_mask();
  void fail(StatusCode code, const char* why);

  const std::shared_ptr<const Grammar> grammar_;
  std::unique_ptr<GrammarWalk> walk_;  // from the first fill on
  std::vector<TokenId> end_ids_;
  std::vector<TokenId> unseen_;  // by the walk
  int64_t position_;
  std::vector<uint32_t> mask_;
  Verdict verdict_ = Verdict::kContinue;
  Status failure_;
};

}  // namespace sluice
