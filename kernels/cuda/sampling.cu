// Sampling as kernels/sampling_batch.h defines it: a team of blocks a row (team.cuh), several
// passes over the row in the caches.
//
// Nothing is sorted: top_k and top_p find their threshold by a search over the bits of the weights
// (positive floats order as unsigned integers), with counts, or with masses in fixed point. Sums
// are of integers, so that no result depends on the size of the team.
#include <algorithm>
#include <cfloat>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/team.cuh"
#include "kernels/cuda/sampling.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kSearchBits = 3;  // of a weight, found in one pass
constexpr int kPivots = (1 << kSearchBits) - 1;
constexpr int kWeightBits = 30;        // a weight is at most 1 = 0x3F800000
constexpr float kMassOfOne = 0x1p32F;  // fixed point: 2^18 ids of weight 1 fit 64 bits
constexpr float kExpOfOne = 0x1p40F;   // the same of the sum behind the logprobs
constexpr unsigned long long kUnsound = 1ULL << 63;  // a sum with a NaN or an infinity in it
constexpr int kNoId = INT32_MAX;

// One row in the hands of one block of its team: it reads any logit, but writes only its slice of
// `work`, so that a block's barrier is enough between passes.
struct Row {
  Team team;
  const float* logits;
  float* work;
  int vocab;
  int begin;  // the slice
  int end;

  __device__ bool owns(int id) const { return id >= begin && id < end; }
};

struct Candidate {
  float value;
  int id;
};

// The larger value; of equal ones the lower id.
__device__ Candidate better(Candidate a, Candidate b) {
  if (a.value != b.value) return a.value > b.value ? a : b;
  return a.id < b.id ? a : b;
}

__device__ Candidate warp_best(Candidate mine) {
  for (int step = 16; step > 0; step /= 2) {
    mine =
        better(mine, {__shfl_xor_sync(~0U, mine.value, step), __shfl_xor_sync(~0U, mine.id, step)});
  }
  return mine;
}

// Best of value(i) over the ids; values of -inf do not count: id kNoId if none is left.
template <typename Value>
__device__ Candidate best_of(Row& row, Value value) {
  __shared__ Candidate partial[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Candidate mine{-INFINITY, kNoId};
#pragma unroll 4
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads)
    mine = better(mine, {value(i), i});
  if (mine.value == -INFINITY) mine.id = kNoId;
  mine = warp_best(mine);
  if (lane == 0) partial[warp] = mine;
  __syncthreads();
  mine = warp_best(partial[lane % kWarps]);
  return row.team.combine_blocks(mine, better);
}

__device__ unsigned long long add(unsigned long long a, unsigned long long b) { return a + b; }

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

// The row's mask; null: it has none.
__device__ const uint32_t* mask_of(const SamplingView& b, int row, int vocab) {
  if (b.mask_row == nullptr || b.mask_row[row] < 0) return nullptr;
  return b.masks + b.mask_row[row] * static_cast<int64_t>(mask_words(vocab));
}

// Steps 2 to 4: edits `work`, a copy of the row's logits.
__device__ void edit(const Row& row, const SamplingView& b, int r) {
  float* work = row.work;
  const TokenId pending = pending_of(b, r);
  const int allowed = b.allowed_indptr[r], allowed_end = b.allowed_indptr[r + 1];
  const bool restricted = allowed_end > allowed;
  const uint32_t* mask = mask_of(b, r, row.vocab);
  const auto may = [&](int id) { return mask == nullptr || (mask[id / 32] >> id % 32 & 1) != 0; };
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads)
    work[i] = restricted || !may(i) ? -INFINITY : row.logits[i];
  __syncthreads();
  for (int i = allowed + threadIdx.x; i < allowed_end; i += kThreads) {
    const TokenId id = b.allowed_ids[i];
    if (row.owns(id) && may(id)) work[id] = row.logits[id];
  }
  __syncthreads();
  for (int i = b.banned_indptr[r] + threadIdx.x; i < b.banned_indptr[r + 1]; i += kThreads) {
    if (row.owns(b.banned_ids[i])) work[b.banned_ids[i]] = -INFINITY;
  }
  __syncthreads();
  for (int i = b.bias_indptr[r] + threadIdx.x; i < b.bias_indptr[r + 1]; i += kThreads) {
    if (row.owns(b.bias_ids[i])) atomicAdd(&work[b.bias_ids[i]], b.bias_values[i]);
  }
  __syncthreads();
  int counted = 0;  // the pending token, with its earlier occurrences
  for (int i = b.history_indptr[r] + threadIdx.x; i < b.history_indptr[r + 1]; i += kThreads) {
    const TokenId id = b.history_ids[i];
    if (!row.owns(id)) continue;
    const int again = id == pending ? 1 : 0;
    penalise(work[id], b.history_counts[i] + again, b, r);
    counted |= again;
  }
  counted = __syncthreads_or(counted);
  if (row.owns(pending) && counted == 0 && threadIdx.x == 0) penalise(work[pending], 1, b, r);
  __syncthreads();
}

// Where a cut falls in the order (weight descending, id ascending): weights with more bits stay, of
// those with equal bits the first `equal` by id stay.
struct Cut {
  uint32_t bits;
  unsigned long long equal;
};

// sums[p] = measure of all weights whose bits are at least first + (p << shift), p < kPivots.
template <typename Measure>
__device__ void measure_pivots(Row& row, uint32_t first, int shift, Measure measure,
                               unsigned long long (&sums)[kPivots]) {
  __shared__ unsigned long long partial[kWarps][kPivots];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (auto& sum : sums) sum = 0;
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads) {
    const uint32_t bits = __float_as_uint(row.work[i]);
    if (bits < first) continue;
    const unsigned long long weight = measure(bits);
#pragma unroll
    for (int p = 0; p < kPivots; ++p) {
      if (bits - first >= static_cast<uint32_t>(p) << shift) sums[p] += weight;
    }
  }
#pragma unroll
  for (int p = 0; p < kPivots; ++p) {
    for (int step = 16; step > 0; step /= 2) sums[p] += __shfl_xor_sync(~0U, sums[p], step);
    if (lane == 0) partial[warp][p] = sums[p];
  }
  __syncthreads();
  unsigned long long mine = 0;
  if (threadIdx.x < kPivots) {
    for (int w = 0; w < kWarps; ++w) mine += partial[w][threadIdx.x];
  }
  const unsigned long long* all = row.team.share<kPivots>(mine);
#pragma unroll
  for (int p = 0; p < kPivots; ++p) {
    sums[p] = 0;
    for (int block = 0; block < row.team.size(); ++block) sums[p] += all[block * kPivots + p];
  }
}

// The shortest front of that order whose measure reaches `wanted`. measure(bits) of one id; zero
// weights are not in the order. If all together stay below, everything stays: bits = 0.
template <typename Measure>
__device__ Cut select(Row& row, unsigned long long wanted, Measure measure) {
  uint32_t prefix = 0;           // the largest bits so far at which the measure reaches `wanted`
  unsigned long long above = 0;  // measure of the weights beyond the bits still in question
  for (int shift = kWeightBits - kSearchBits; shift >= 0; shift -= kSearchBits) {
    unsigned long long sums[kPivots];
    measure_pivots(row, prefix + (1U << shift), shift, measure, sums);
    int reached = 0;
#pragma unroll
    for (int p = 0; p < kPivots; ++p) {
      if (sums[p] >= wanted) {
        ++reached;
      } else if (p == reached) {
        above = sums[p];
      }
    }
    prefix += static_cast<uint32_t>(reached) << shift;
  }
  if (prefix == 0) return {0, 0};
  const unsigned long long each = measure(prefix);
  return {prefix, (wanted - above + each - 1) / each};
}

// Zeroes what the cut leaves out.
__device__ void apply(Row& row, Cut cut) {
  __shared__ int warp_counts[kWarps];
  if (cut.bits == 0) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned long long mine = 0;
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads)
    mine += __float_as_uint(row.work[i]) == cut.bits ? 1 : 0;
  const unsigned long long* all = row.team.share<1>(block_reduce(mine, add, 0ULL));
  unsigned long long seen = 0;  // equal weights before this stretch of ids
  for (int block = 0; block < row.team.rank(); ++block) seen += all[block];
  for (int base = row.begin; base < row.end; base += kThreads) {
    const int i = base + static_cast<int>(threadIdx.x);
    const uint32_t bits = i < row.end ? __float_as_uint(row.work[i]) : 0;
    const unsigned equals = __ballot_sync(~0U, bits == cut.bits);
    if (lane == 0) warp_counts[warp] = __popc(equals);
    __syncthreads();
    unsigned long long before = seen + __popc(equals & ((1U << lane) - 1));
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) before += warp_counts[w];
      seen += warp_counts[w];
    }
    if (i < row.end && (bits < cut.bits || (bits == cut.bits && before >= cut.equal)))
      row.work[i] = 0;
    __syncthreads();
  }
}

__device__ unsigned long long mass_of(uint32_t bits) {
  // At least 1, so that no weight is free: otherwise a cut could pass over it for ever.
  return max(1ULL, static_cast<unsigned long long>(__uint_as_float(bits) * kMassOfOne));
}

// Step 5 for temperature > 0; `work` holds edited logits and becomes weights.
__device__ int draw(Row& row, const SamplingView& b, int r) {
  float* work = row.work;
  const Candidate top = best_of(row, [&](int i) { return work[i]; });
  if (top.id == kNoId) return -1;
  // Finite, so that the largest logit keeps weight 1 at any temperature: 0 * inf would be NaN.
  const float inverse = fminf(1.0F / b.temperature[r], FLT_MAX), min_p = b.min_p[r];
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads) {
    const float weight = expf((work[i] - top.value) * inverse);
    work[i] = weight >= min_p ? weight : 0.0F;
  }
  __syncthreads();
  if (const int k = b.top_k[r]; k > 0 && k < row.vocab)
    apply(row, select(row, k, [](uint32_t) { return 1ULL; }));
  if (const float top_p = b.top_p[r]; top_p < 1.0F) {
    unsigned long long mass = 0;
    for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads) {
      if (work[i] > 0) mass += mass_of(__float_as_uint(work[i]));
    }
    mass = row.team.reduce(mass, add, 0ULL);
    const auto wanted = static_cast<unsigned long long>(ceil(static_cast<double>(mass) * top_p));
    apply(row, select(row, max(wanted, 1ULL), mass_of));
  }
  const uint64_t seed = b.seed[r];
  const int64_t number = b.draw[r];
  const Candidate winner = best_of(row, [&](int i) {
    return work[i] > 0 ? work[i] / exponential(philox(seed, number, i)) : -INFINITY;
  });
  return winner.id == kNoId ? -1 : winner.id;
}

__device__ bool needs_edit(const SamplingView& b, int r, int vocab) {
  const bool penalised =
      b.repetition_penalty[r] != 1 || b.presence_penalty[r] != 0 || b.frequency_penalty[r] != 0;
  return mask_of(b, r, vocab) != nullptr || b.allowed_indptr[r + 1] > b.allowed_indptr[r] ||
         b.banned_indptr[r + 1] > b.banned_indptr[r] || b.bias_indptr[r + 1] > b.bias_indptr[r] ||
         (penalised && (b.history_indptr[r + 1] > b.history_indptr[r] || pending_of(b, r) >= 0));
}

// ln of the sum of exp(logit): NaN where a logit is NaN or +inf, or all are -inf.
__device__ float log_sum_of(Row& row, float largest) {
  unsigned long long sum = 0;
#pragma unroll 4
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads) {
    const float weight = expf(row.logits[i] - largest);  // NaN where either is not sound
    sum = weight <= 1.0F ? sum + static_cast<unsigned long long>(weight * kExpOfOne) : kUnsound;
  }
  sum = row.team.reduce(
      sum,
      [](unsigned long long a, unsigned long long b) {
        return ((a | b) & kUnsound) != 0 ? kUnsound : a + b;
      },
      0ULL);
  if (sum == 0 || sum == kUnsound) return NAN;
  return largest + logf(static_cast<float>(sum) / kExpOfOne);
}

// The num_top best raw logits, one pass each: asked for seldom, and at most kMaxTopLogprobs times.
__device__ void list_top(const SampledTokens& out, Row& row, int r, int num_top, float log_sum) {
  const float* logits = row.logits;
  Candidate last{INFINITY, -1};
  for (int n = 0; n < num_top; ++n) {
    const Candidate next = best_of(row, [&](int i) {
      const bool later = logits[i] < last.value || (logits[i] == last.value && i > last.id);
      return later ? logits[i] : -INFINITY;
    });
    last = next;
    if (threadIdx.x == 0 && row.team.rank() == 0) {
      out.top_ids[r * kMaxTopLogprobs + n] = next.id == kNoId ? -1 : next.id;
      out.top_logprobs[r * kMaxTopLogprobs + n] =
          next.id == kNoId ? -INFINITY : next.value - log_sum;
    }
  }
}

// 1 + ids with a larger logit.
__device__ int rank_of(Row& row, TokenId id) {
  const float logit = row.logits[id];
  unsigned long long above = 0;
  for (int i = row.begin + static_cast<int>(threadIdx.x); i < row.end; i += kThreads)
    above += row.logits[i] > logit ? 1 : 0;
  return 1 + static_cast<int>(row.team.reduce(above, add, 0ULL));
}

__global__ void __launch_bounds__(kThreads)
    sample_kernel(SampledTokens out, TokenId* next, const float* all_logits, int64_t stride,
                  float* all_work, int64_t work_stride, int vocab, int first_row, SamplingView b) {
  __shared__ Team::Slots slots;
  wait_for_previous_kernel();
  const Team team(&slots);
  const int place = static_cast<int>(blockIdx.x) / team.size();
  const int r = first_row + place;
  const int slice = (vocab + team.size() - 1) / team.size();
  Row row{.team = team,
          .logits = all_logits + r * stride,
          .work = all_work + place * work_stride,
          .vocab = vocab,
          .begin = min(team.rank() * slice, vocab),
          .end = min((team.rank() + 1) * slice, vocab)};
  const Candidate top = best_of(row, [&](int i) { return row.logits[i]; });
  const float log_sum = log_sum_of(row, top.value);
  int id = b.target[r];
  if (isnan(log_sum)) {
    id = -1;
  } else if (id < 0) {
    const bool greedy = b.temperature[r] == 0, edited = needs_edit(b, r, vocab);
    id = top.id;
    if (!greedy || edited) edit(row, b, r);
    if (greedy && edited) {
      const Candidate best = best_of(row, [&](int i) { return row.work[i]; });
      id = best.id == kNoId ? -1 : best.id;
    } else if (!greedy) {
      id = draw(row, b, r);
    }
  }
  const int num_top = id < 0 ? 0 : b.num_top[r];
  list_top(out, row, r, num_top, log_sum);
  const int rank = num_top == 0 ? 0 : rank_of(row, id);
  allow_next_kernel();
  if (threadIdx.x != 0 || team.rank() != 0) return;
  out.ids[r] = id;
  if (next != nullptr) next[r] = id;
  out.logprobs[r] = id < 0 ? -INFINITY : row.logits[id] - log_sum;
  out.ranks[r] = rank;
}

}  // namespace

void launch_sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView scratch,
                   const SamplingView& batch, bool clusters, cudaStream_t stream) {
  // A lone row is bound by what one SM reads; with more rows than this the card is full anyway.
  constexpr int64_t kBlocksWanted = 256;
  for (int64_t first = 0; first < logits.rows; first += scratch.rows) {
    const int64_t rows = std::min(scratch.rows, logits.rows - first);
    int team = clusters ? kMaxTeam : 1;
    while (team > 1 && rows * team > kBlocksWanted) team /= 2;
    launch_clusters(sample_kernel, dim3(static_cast<unsigned>(rows * team)), team, kThreads, 0,
                    stream, out, next, static_cast<const float*>(logits.data), logits.row_stride,
                    static_cast<float*>(scratch.data), scratch.row_stride,
                    static_cast<int>(logits.cols), static_cast<int>(first), batch);
  }
}

}  // namespace sluice::cuda
