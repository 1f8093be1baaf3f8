// Backend::sample on host memory: penalties, cuts, draws, log-probabilities.
#include "kernels/cpu/sampling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();

const uint32_t* mask_of(const SamplingBatch& b, int r) {
  return b.mask.empty() ? nullptr : b.mask[r];
}

// x[i] = -inf where bit i of the mask is 0.
void apply_mask(std::vector<float>& x, const uint32_t* mask) {
  for (size_t first = 0; first < x.size(); first += 32) {
    const uint32_t word = mask[first / 32];
    if (word == ~uint32_t{0}) continue;
    const size_t count = std::min<size_t>(32, x.size() - first);
    for (size_t bit = 0; bit < count; ++bit) {
      if ((word >> bit & 1) == 0) x[first + bit] = kMinusInf;
    }
  }
}

bool has_edits(const SamplingBatch& b, int r, TokenId pending) {
  const auto any = [r](const std::vector<int32_t>& indptr) { return indptr[r + 1] > indptr[r]; };
  const bool penalised =
      b.repetition_penalty[r] != 1 || b.presence_penalty[r] != 0 || b.frequency_penalty[r] != 0;
  return mask_of(b, r) != nullptr || any(b.allowed_indptr) || any(b.banned_indptr) ||
         any(b.bias_indptr) || (penalised && (pending >= 0 || any(b.history_indptr)));
}

// Steps 2 to 4 on a copy of the logits.
void edit(std::vector<float>& x, const float* logits, const SamplingBatch& b, int r,
          TokenId pending) {
  const int32_t allowed = b.allowed_indptr[r];
  const int32_t allowed_end = b.allowed_indptr[r + 1];
  if (allowed_end > allowed) {
    std::fill(x.begin(), x.end(), kMinusInf);
    for (int32_t i = allowed; i < allowed_end; ++i) x[b.allowed_ids[i]] = logits[b.allowed_ids[i]];
  } else {
    std::copy_n(logits, x.size(), x.begin());
  }
  if (const uint32_t* mask = mask_of(b, r)) apply_mask(x, mask);
  for (int32_t i = b.banned_indptr[r]; i < b.banned_indptr[r + 1]; ++i)
    x[b.banned_ids[i]] = kMinusInf;
  for (int32_t i = b.bias_indptr[r]; i < b.bias_indptr[r + 1]; ++i)
    x[b.bias_ids[i]] += b.bias_values[i];
  const auto penalise = [&](TokenId id, int32_t times) {
    float& logit = x[id];
    logit = logit > 0 ? logit / b.repetition_penalty[r] : logit * b.repetition_penalty[r];
    const auto count = static_cast<float>(times);
    logit -= b.frequency_penalty[r] * count + (count > 0 ? b.presence_penalty[r] : 0.0F);
  };
  bool counted = pending < 0;  // the pending token, with its earlier occurrences
  for (int32_t i = b.history_indptr[r]; i < b.history_indptr[r + 1]; ++i) {
    const bool again = b.history_ids[i] == pending;
    penalise(b.history_ids[i], b.history_counts[i] + (again ? 1 : 0));
    counted |= again;
  }
  if (!counted) penalise(pending, 1);
}

// Orders candidates by falling weight, equal ones by id.
struct Larger {
  const float* weights;
  bool operator()(int32_t a, int32_t b) const {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  }
};

// Keeps in `ids` the smallest set of largest weights whose sum reaches `wanted`. Halves the range
// in which the set ends instead of sorting it: linear time.
void keep_top_p(std::vector<int32_t>& ids, double wanted, Larger larger) {
  const auto sum_of = [&](auto from, auto to) {
    double sum = 0;
    for (; from != to; ++from) sum += larger.weights[*from];
    return sum;
  };
  auto low = ids.begin(), high = ids.end();  // the set ends in [low, high]
  double below = 0;                          // the weight of everything before `low`
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    std::nth_element(low, middle, high, larger);
    const double sum = below + sum_of(low, middle);
    if (sum >= wanted) {
      high = middle;
    } else {
      below = sum;
      low = middle;
    }
  }
  ids.erase(high, ids.end());
}

// A weight that at least `k` of the n weights reach, close to the k-th largest: the lower edge of
// its bucket among eight an octave. Weights lie in [0, 1].
float kth_largest_bound(const float* weights, int n, int k) {
  constexpr int kShift = 20;  // a float's bits above it: exponent and three bits of mantissa
  std::array<int32_t, (0x3f800000 >> kShift) + 1> counts{};
  for (int i = 0; i < n; ++i) ++counts[std::bit_cast<uint32_t>(weights[i]) >> kShift];
  size_t bucket = counts.size();
  for (int32_t reached = 0; reached < k && bucket > 0;) reached += counts[--bucket];
  return std::bit_cast<float>(static_cast<uint32_t>(bucket) << kShift);
}

// Step 5 for temperature > 0. `max` is the largest of x.
TokenId draw(const float* x, int vocab, float max, const SamplingBatch& b, int r,
             const KernelTable& kernels, SampleScratch& scratch) {
  scratch.weights.resize(vocab);
  float* weights = scratch.weights.data();
  // Finite, so that the largest logit's weight is exp(0) even at the smallest temperature.
  const float sharpness = std::min(1.0F / b.temperature[r], std::numeric_limits<float>::max());
  const float sum = kernels.softmax_weights(weights, x, vocab, max, sharpness);
  const bool cuts_k = b.top_k[r] > 0 && b.top_k[r] < vocab;
  if (b.min_p[r] == 0 && !cuts_k && b.top_p[r] >= 1)
    return static_cast<TokenId>(kernels.race(weights, nullptr, vocab, b.seed[r], b.draw[r]));

  // Most of the vocabulary goes by one comparison. With top_p alone: what lies below
  // (1 - top_p) sum / vocab weighs less than 1 - top_p in all, so the set ends above it.
  const bool only_p = b.min_p[r] == 0 && !cuts_k;
  float bound = std::max(b.min_p[r], std::numeric_limits<float>::min());
  if (cuts_k) bound = std::max(bound, kth_largest_bound(weights, vocab, b.top_k[r]));
  if (only_p) {
    constexpr float kMargin = 0.99F;  // for the sum's rounding
    bound = std::max(bound, kMargin * (1 - b.top_p[r]) * sum / static_cast<float>(vocab));
  }
  std::vector<int32_t>& ids = scratch.ids;
  ids.resize(vocab);
  ids.resize(static_cast<size_t>(kernels.at_least(ids.data(), weights, vocab, bound)));
  const Larger larger{weights};
  if (cuts_k && ids.size() > static_cast<size_t>(b.top_k[r])) {
    std::nth_element(ids.begin(), ids.begin() + b.top_k[r] - 1, ids.end(), larger);
    ids.resize(static_cast<size_t>(b.top_k[r]));
  }
  if (b.top_p[r] < 1) {
    double total = only_p ? sum : 0;
    if (!only_p) {
      for (const int32_t id : ids) total += weights[id];
    }
    keep_top_p(ids, total * b.top_p[r], larger);
  }
  scratch.survivor.resize(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) scratch.survivor[i] = weights[ids[i]];
  const int64_t winner = kernels.race(scratch.survivor.data(), ids.data(),
                                      static_cast<int64_t>(ids.size()), b.seed[r], b.draw[r]);
  return winner < 0 ? -1 : ids[static_cast<size_t>(winner)];
}

// Steps 2 to 5.
TokenId choose(const float* logits, int vocab, LogitStats stats, const SamplingBatch& b, int r,
               TokenId pending, const KernelTable& kernels, SampleScratch& scratch) {
  const float* x = logits;
  if (has_edits(b, r, pending)) {
    scratch.edited.resize(vocab);
    edit(scratch.edited, logits, b, r, pending);
    x = scratch.edited.data();
    stats = kernels.logit_stats(x, vocab);
    if (stats.max == kMinusInf) return -1;
  }
  if (b.temperature[r] == 0) return stats.argmax;
  return draw(x, vocab, stats.max, b, r, kernels, scratch);
}

// The `count` best raw logits, best first, equal ones by ascending id.
void list_top(const SampledTokens& out, int row, int count, const float* logits, int vocab,
              float log_sum) {
  TokenId* ids = out.top_ids + int64_t{row} * kMaxTopLogprobs;
  float* logprobs = out.top_logprobs + int64_t{row} * kMaxTopLogprobs;
  if (count == 0) return;
  std::fill_n(ids, count, -1);
  std::fill_n(logprobs, count, kMinusInf);
  for (int32_t i = 0; i < vocab; ++i) {
    if (!(logits[i] > logprobs[count - 1])) continue;
    int at = count - 1;
    for (; at > 0 && logits[i] > logprobs[at - 1]; --at) {
      ids[at] = ids[at - 1];
      logprobs[at] = logprobs[at - 1];
    }
    ids[at] = i;
    logprobs[at] = logits[i];
  }
  for (int i = 0; i < count; ++i) logprobs[i] -= log_sum;
}

}  // namespace

void sample_row(const SampledTokens& out, const float* logits, int vocab,
                const SamplingBatch& batch, int row, TokenId pending, const KernelTable& kernels,
                SampleScratch& scratch) {
  const LogitStats stats = kernels.logit_stats(logits, vocab);
  const bool sound = stats.sum > 0 && std::isfinite(stats.max);  // a NaN sum is not > 0
  const float log_sum = stats.max + std::log(stats.sum);
  TokenId id = batch.target[row];
  if (!sound) {
    id = -1;
  } else if (id < 0) {
    id = choose(logits, vocab, stats, batch, row, pending, kernels, scratch);
  }
  out.ids[row] = id;
  out.logprobs[row] = id < 0 ? kMinusInf : logits[id] - log_sum;
  const int num_top = id < 0 ? 0 : batch.num_top[row];
  out.ranks[row] =
      num_top == 0 ? 0 : 1 + static_cast<int32_t>(kernels.count_above(logits, vocab, logits[id]));
  list_top(out, row, num_top, logits, vocab, log_sum);
}

}  // namespace sluice
