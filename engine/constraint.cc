// Constraint: one token further, one mask more.
#include "engine/constraint.h"

#include <time.h>

#include <algorithm>
#include <exception>

#include "base/check.h"
#include "engine/request.h"

namespace sluice {
namespace {

// Processor time of one mask after which the request is ended: a whole batch waits for it. Those of
// sane grammars over 128 k tokens take up to 10 ms.
constexpr double kMaxFillSeconds = 0.25;

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

Constraint::Constraint(const Request& request, int vocab_size)
    : grammar_(request.grammar),
      end_ids_(request.sampling.stop_token_ids),
      position_(static_cast<int64_t>(request.prompt.size())),
      mask_(mask_words(vocab_size)) {
  SLUICE_CHECK(grammar_ != nullptr);
  if (!request.sampling.ignore_eos)
    end_ids_.insert(end_ids_.end(), request.eos_ids.begin(), request.eos_ids.end());
  std::erase_if(end_ids_, [&](TokenId id) { return id < 0 || id >= vocab_size; });
}

void Constraint::advance_to(std::span<const TokenId> tokens) {
  const auto end = static_cast<int64_t>(tokens.size());
  SLUICE_CHECK_LE(position_, end);
  unseen_.insert(unseen_.end(), tokens.begin() + position_, tokens.end());
  position_ = end;
}

void Constraint::fill() {
  const double began = thread_seconds();
  try {
    fill_mask();
  } catch (const std::exception& error) {
    fail(StatusCode::kInternal, error.what());
  }
  if (thread_seconds() - began > kMaxFillSeconds) {
    fail(StatusCode::kInvalidArgument,
         "the grammar of this request takes too long for each token; simplify it");
  }
}

void Constraint::fill_mask() {
  verdict_ = Verdict::kContinue;
  if (walk_ == nullptr) walk_ = grammar_->walk();
  for (const TokenId token : unseen_) SLUICE_CHECK(walk_->accept(token));
  unseen_.clear();
  walk_->fill(mask_);
  const bool complete = walk_->complete();
  if (std::ranges::all_of(mask_, [](uint32_t word) { return word == 0; })) {
    if (complete) {
      verdict_ = Verdict::kEnd;
      return;
    }
    fail(StatusCode::kInvalidArgument,
         "no token of the model's vocabulary can go on in the grammar of this request");
  }
  if (!complete) return;
  for (const TokenId id : end_ids_) mask_[static_cast<size_t>(id) / 32] |= uint32_t{1} << id % 32;
}

void Constraint::fail(StatusCode code, const char* why) {
  verdict_ = Verdict::kFailed;
  failure_ = {code, why};
}

}  // namespace sluice
