// Sampling as kernels/sampling_batch.h defines it, a block of threads a row, several passes over
// the row in L2.
//
// Nothing is sorted: top_k and top_p find their threshold by radix selection over the bits of the
// weights (positive floats order as unsigned integers), with counts, or with masses in fixed point,
// so that sums do not depend on the order of additions.
#include <cfloat>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/sampling.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kDigits = 256;  // of one radix pass
constexpr float kMassOfOne =
    0x1p32F;  // fixed point: a weight of 1; 2^18 ids of weight 1 fit 64 bits
constexpr int kNoId = INT32_MAX;

struct Candidate {
  float value;
  int id;
};

// The larger value; of equal ones the lower id.
__device__ Candidate better(Candidate a, Candidate b) {
  if (a.value != b.value) return a.value > b.value ? a : b;
  return a.id < b.id ? a : b;
}

__device__ Candidate block_best(Candidate mine) {
  __shared__ Candidate partial[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int step = 16; step > 0; step /= 2) {
    mine =
        better(mine, {__shfl_xor_sync(~0U, mine.value, step), __shfl_xor_sync(~0U, mine.id, step)});
  }
  if (lane == 0) partial[warp] = mine;
  __syncthreads();
  mine = partial[lane];
  for (int step = 16; step > 0; step /= 2) {
    mine =
        better(mine, {__shfl_xor_sync(~0U, mine.value, step), __shfl_xor_sync(~0U, mine.id, step)});
  }
  __syncthreads();
  return mine;
}

// Best of value(i) over the ids; values of -inf and ids without one do not count: id kNoId if none
// is left.
template <typename Value>
__device__ Candidate best_of(int vocab, Value value) {
  Candidate mine{-INFINITY, kNoId};
  for (int i = threadIdx.x; i < vocab; i += kThreads) mine = better(mine, {value(i), i});
  if (mine.value == -INFINITY) mine.id = kNoId;
  return block_best(mine);
}

// First word of Philox4x32-10 (Salmon et al., SC 2011), counter (draw, id, 0), key seed.
__device__ uint32_t philox(uint64_t seed, int64_t draw, uint32_t id) {
  uint32_t c0 = static_cast<uint32_t>(draw), c1 = static_cast<uint32_t>(draw >> 32), c2 = id,
           c3 = 0;
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint32_t a_high = __umulhi(0xD2511F53U, c0), a_low = 0xD2511F53U * c0;
    const uint32_t b_high = __umulhi(0xCD9E8D57U, c2), b_low = 0xCD9E8D57U * c2;
    c0 = b_high ^ c1 ^ key0;
    c1 = b_low;
    c2 = a_high ^ c3 ^ key1;
    c3 = a_low;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return c0;
}

// e = -ln u, u = (floor(word / 2^9) + 1/2) / 2^23: never 0 nor infinite.
__device__ float exponential(uint32_t word) {
  return -logf((static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F);
}

// The output token that the row's history lacks; -1: none.
__device__ TokenId pending_of(const SamplingView& b, int row) {
  return b.pending[row] < 0 ? -1 : b.sampled[b.pending[row]];
}

__device__ void penalise(float& logit, int times, const SamplingView& b, int row) {
  const float x = logit > 0 ? logit / b.repetition_penalty[row] : logit * b.repetition_penalty[row];
  const auto count = static_cast<float>(times);
  logit = x - (b.frequency_penalty[row] * count + (count > 0 ? b.presence_penalty[row] : 0.0F));
}

// Steps 2 to 4: edits `work`, a copy of the row's logits.
__device__ void edit(float* work, const float* logits, int vocab, const SamplingView& b, int row) {
  const TokenId pending = pending_of(b, row);
  const int allowed = b.allowed_indptr[row], allowed_end = b.allowed_indptr[row + 1];
  const bool restricted = allowed_end > allowed;
  for (int i = threadIdx.x; i < vocab; i += kThreads) work[i] = restricted ? -INFINITY : logits[i];
  __syncthreads();
  for (int i = allowed + threadIdx.x; i < allowed_end; i += kThreads)
    work[b.allowed_ids[i]] = logits[b.allowed_ids[i]];
  __syncthreads();
  for (int i = b.banned_indptr[row] + threadIdx.x; i < b.banned_indptr[row + 1]; i += kThreads) {
    work[b.banned_ids[i]] = -INFINITY;
  }
  __syncthreads();
  for (int i = b.bias_indptr[row] + threadIdx.x; i < b.bias_indptr[row + 1]; i += kThreads) {
    atomicAdd(&work[b.bias_ids[i]], b.bias_values[i]);
  }
  __syncthreads();
  int counted = 0;  // the pending token, with its earlier occurrences
  for (int i = b.history_indptr[row] + threadIdx.x; i < b.history_indptr[row + 1]; i += kThreads) {
    const int again = b.history_ids[i] == pending ? 1 : 0;
    penalise(work[b.history_ids[i]], b.history_counts[i] + again, b, row);
    counted |= again;
  }
  counted = __syncthreads_or(counted);
  if (pending >= 0 && counted == 0 && threadIdx.x == 0) penalise(work[pending], 1, b, row);
  __syncthreads();
}

// Where a cut falls in the order (weight descending, id ascending): weights with more bits stay, of
// those with equal bits the first `equal` by id stay.
struct Cut {
  uint32_t bits;
  unsigned long long equal;
};

// The shortest front of that order whose measure reaches `wanted`. measure(bits) of one id; zero
// weights are not in the order. If all together stay below, everything stays: bits = 0.
template <typename Measure>
__device__ Cut select(const float* weights, int vocab, unsigned long long wanted, Measure measure) {
  __shared__ unsigned long long histogram[kDigits];
  __shared__ uint32_t shared_prefix;
  __shared__ unsigned long long shared_above;
  uint32_t prefix = 0;
  unsigned long long above = 0;  // measure of all weights whose bits exceed the prefix
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int d = threadIdx.x; d < kDigits; d += kThreads) histogram[d] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < vocab; i += kThreads) {
      const uint32_t bits = __float_as_uint(weights[i]);
      if (bits == 0 || (shift < 24 && bits >> (shift + 8) != prefix >> (shift + 8))) continue;
      atomicAdd(&histogram[bits >> shift & (kDigits - 1)], measure(bits));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = kDigits - 1;
      unsigned long long sum = above;
      for (; digit > 0 && sum + histogram[digit] < wanted; --digit) sum += histogram[digit];
      shared_prefix = prefix | static_cast<uint32_t>(digit) << shift;
      shared_above = sum;
    }
    __syncthreads();
    prefix = shared_prefix;
    above = shared_above;
    __syncthreads();
  }
  if (prefix == 0) return {0, 0};
  const unsigned long long each = measure(prefix);
  return {prefix, (wanted - above + each - 1) / each};
}

// Zeroes what the cut leaves out.
__device__ void apply(float* weights, int vocab, Cut cut) {
  __shared__ int warp_counts[kThreads / 32];
  if (cut.bits == 0) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned long long seen = 0;  // equal weights before this stretch of ids
  for (int base = 0; base < vocab; base += kThreads) {
    const int i = base + static_cast<int>(threadIdx.x);
    const uint32_t bits = i < vocab ? __float_as_uint(weights[i]) : 0;
    const unsigned equals = __ballot_sync(~0U, bits == cut.bits);
    if (lane == 0) warp_counts[warp] = __popc(equals);
    __syncthreads();
    unsigned long long before = seen + __popc(equals & ((1U << lane) - 1));
    int stretch = 0;
    for (int w = 0; w < kThreads / 32; ++w) {
      if (w < warp) before += warp_counts[w];
      stretch += warp_counts[w];
    }
    if (i < vocab && (bits < cut.bits || (bits == cut.bits && before >= cut.equal))) weights[i] = 0;
    seen += stretch;
    __syncthreads();
  }
}

__device__ unsigned long long mass_of(uint32_t bits) {
  // At least 1, so that no weight is free: otherwise a cut could pass over it for ever.
  return max(1ULL, static_cast<unsigned long long>(__uint_as_float(bits) * kMassOfOne));
}

// Step 5 for temperature > 0; `work` holds edited logits and becomes weights.
__device__ int draw(float* work, int vocab, const SamplingView& b, int row) {
  const Candidate top = best_of(vocab, [&](int i) { return work[i]; });
  if (top.id == kNoId) return -1;
  // Finite, so that the largest logit keeps weight 1 at any temperature: 0 * inf would be NaN.
  const float inverse = fminf(1.0F / b.temperature[row], FLT_MAX), min_p = b.min_p[row];
  for (int i = threadIdx.x; i < vocab; i += kThreads) {
    const float weight = expf((work[i] - top.value) * inverse);
    work[i] = weight >= min_p ? weight : 0.0F;
  }
  __syncthreads();
  if (const int k = b.top_k[row]; k > 0 && k < vocab) {
    apply(work, vocab, select(work, vocab, k, [](uint32_t) { return 1ULL; }));
    __syncthreads();
  }
  if (const float top_p = b.top_p[row]; top_p < 1.0F) {
    unsigned long long mass = 0;
    for (int i = threadIdx.x; i < vocab; i += kThreads) {
      if (work[i] > 0) mass += mass_of(__float_as_uint(work[i]));
    }
    mass = block_reduce(mass, [](auto x, auto y) { return x + y; }, 0ULL);
    const auto wanted = static_cast<unsigned long long>(ceil(static_cast<double>(mass) * top_p));
    apply(work, vocab, select(work, vocab, max(wanted, 1ULL), mass_of));
    __syncthreads();
  }
  const uint64_t seed = b.seed[row];
  const int64_t number = b.draw[row];
  const Candidate winner = best_of(vocab, [&](int i) {
    return work[i] > 0 ? work[i] / exponential(philox(seed, number, i)) : -INFINITY;
  });
  return winner.id == kNoId ? -1 : winner.id;
}

__device__ bool needs_edit(const SamplingView& b, int row) {
  const bool penalised = b.repetition_penalty[row] != 1 || b.presence_penalty[row] != 0 ||
                         b.frequency_penalty[row] != 0;
  return b.allowed_indptr[row + 1] > b.allowed_indptr[row] ||
         b.banned_indptr[row + 1] > b.banned_indptr[row] ||
         b.bias_indptr[row + 1] > b.bias_indptr[row] ||
         (penalised &&
          (b.history_indptr[row + 1] > b.history_indptr[row] || pending_of(b, row) >= 0));
}

// The num_top best raw logits, one pass each: asked for seldom, and at most kMaxTopLogprobs times.
__device__ void list_top(const SampledTokens& out, int row, int num_top, const float* logits,
                         int vocab, float log_sum) {
  Candidate last{INFINITY, -1};
  for (int n = 0; n < num_top; ++n) {
    const Candidate next = best_of(vocab, [&](int i) {
      const bool later = logits[i] < last.value || (logits[i] == last.value && i > last.id);
      return later ? logits[i] : -INFINITY;
    });
    last = next;
    if (threadIdx.x == 0) {
      out.top_ids[row * kMaxTopLogprobs + n] = next.id == kNoId ? -1 : next.id;
      out.top_logprobs[row * kMaxTopLogprobs + n] =
          next.id == kNoId ? -INFINITY : next.value - log_sum;
    }
  }
}

// ---- kernel ------------------------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads)
    sample_kernel(SampledTokens out, TokenId* next, const float* all_logits, int64_t stride,
                  float* all_work, int vocab, SamplingView b) {
  wait_for_previous_kernel();
  const int row = blockIdx.x;
  const float* logits = all_logits + row * stride;
  float* work = all_work + static_cast<int64_t>(row) * vocab;
  const Candidate top = best_of(vocab, [&](int i) { return logits[i]; });
  float sum = 0;
  for (int i = threadIdx.x; i < vocab; i += kThreads) sum += expf(logits[i] - top.value);
  sum = block_sum(sum);
  const bool sound =
      top.id != kNoId && sum > 0 && isfinite(top.value) && isfinite(sum);  // NaN > 0 is false
  const float log_sum = top.value + logf(sum);
  int id = b.target[row];
  if (!sound) {
    id = -1;
  } else if (id < 0) {
    const bool greedy = b.temperature[row] == 0, edited = needs_edit(b, row);
    id = top.id;
    if (!greedy || edited) edit(work, logits, vocab, b, row);
    if (greedy && edited) {
      const Candidate best = best_of(vocab, [&](int i) { return work[i]; });
      id = best.id == kNoId ? -1 : best.id;
    } else if (!greedy) {
      id = draw(work, vocab, b, row);
    }
  }
  const int num_top = id < 0 ? 0 : b.num_top[row];
  list_top(out, row, num_top, logits, vocab, log_sum);
  float above = 0;
  if (num_top > 0) {
    for (int i = threadIdx.x; i < vocab; i += kThreads)
      above += logits[i] > logits[id] ? 1.0F : 0.0F;
    above = block_sum(above);
  }
  allow_next_kernel();
  if (threadIdx.x != 0) return;
  out.ids[row] = id;
  if (next != nullptr) next[row] = id;
  out.logprobs[row] = id < 0 ? -INFINITY : logits[id] - log_sum;
  out.ranks[row] = num_top == 0 ? 0 : 1 + static_cast<int>(above);
}

}  // namespace

// ---- launcher ----------------------------------------------------------------------------------

void launch_sample(const SampledTokens& out, TokenId* next, const float* logits, int64_t stride,
                   float* work, int rows, int vocab, const SamplingView& batch,
                   cudaStream_t stream) {
  launch(sample_kernel, dim3(static_cast<unsigned>(rows)), kThreads, 0, stream, out, next, logits,
         stride, work, vocab, batch);
}

}  // namespace sluice::cuda
