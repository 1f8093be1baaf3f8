// Divides a step's attention by its run lists, on the device: only there are they known.
//
// Every block of threads counts the slots of a list. The one that finishes last then cuts all row
// tiles into items of about total / num_workers blocks, by prefix sums in the order of the tiles:
// nothing depends on which block that was.
#include "kernels/cuda/attention/run_reader.cuh"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.cuh"
#include "kernels/cuda/device/reduce.cuh"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kAtOnce = 4;  // groups of 32 runs that a warp loads together
constexpr int kGroups = kWarps * kAtOnce;
static_assert(kGroups == kWarp);

// Slots of a list, and its checkpoints. All threads of the block.
__device__ int count_slots(const KvRun* runs, int num_runs, KeyRange range, int32_t* checkpoints) {
  __shared__ int slots_of_group[kGroups];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int stride = checkpoint_stride(num_runs);
  int total = 0;
  for (int first = 0; first < num_runs; first += kGroups * kWarp) {
    KvRun run[kAtOnce];
    int before[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int at = first + (warp * kAtOnce + i) * kWarp + lane;
      run[i] = at < num_runs ? runs[at] : KvRun{kNoKey, 0};
      const KvRun last = at > 0 && at < num_runs ? runs[at - 1] : KvRun{0, 0};
      before[i] = last.start + last.len;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const SlotSpan span(run[i], before[i], range);
      const int slots = __reduce_add_sync(~0U, span.gap + span.length);
      if (lane == 0) slots_of_group[warp * kAtOnce + i] = slots;
    }
    __syncthreads();
    int sum = slots_of_group[lane];  // of the groups up to this lane's
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = __shfl_up_sync(~0U, sum, step);
      if (lane >= step) sum += other;
    }
    const int group = first / kWarp + lane;
    if (warp == 0 && group * kWarp < num_runs && group % stride == 0)
      checkpoints[group / stride] = total + sum - slots_of_group[lane];
    total += __shfl_sync(~0U, sum, kWarp - 1);
    __syncthreads();
  }
  return total;
}

// What a row tile makes: items, of which the short ones (less than half the limit) come last, slots
// of partials, merges. Also sums of these over the tiles before one.
struct Shares {
  int longs = 0, shorts = 0, partials = 0, merges = 0;
  __device__ Shares operator+(const Shares& b) const {
    return {longs + b.longs, shorts + b.shorts, partials + b.partials, merges + b.merges};
  }
  __device__ Shares operator-(const Shares& b) const {
    return {longs - b.longs, shorts - b.shorts, partials - b.partials, merges - b.merges};
  }
  __device__ int items() const { return longs + shorts; }
};

__device__ Shares shares_of(int blocks, int limit, int slots) {
  const int pieces = num_pieces(blocks, limit);
  const bool is_short = 2 * (blocks - piece_begin(blocks, limit, pieces, pieces - 1)) < limit;
  return {pieces - is_short, is_short, pieces > 1 ? pieces * slots : 0, pieces > 1 ? 1 : 0};
}

// Sum over the threads before this one; `total` of all.
__device__ Shares exclusive_scan(const Shares& mine, Shares& total) {
  __shared__ Shares warps[kWarps];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Shares sum = mine;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const Shares other{__shfl_up_sync(~0U, sum.longs, step), __shfl_up_sync(~0U, sum.shorts, step),
                       __shfl_up_sync(~0U, sum.partials, step),
                       __shfl_up_sync(~0U, sum.merges, step)};
    if (lane >= step) sum = sum + other;
  }
  __syncthreads();  // `warps` of the call before has been read
  if (lane == kWarp - 1) warps[warp] = sum;
  __syncthreads();
  Shares before;
  total = {};
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before = before + warps[w];
    total = total + warps[w];
  }
  return before + sum - mine;
}

// A tile of `blocks` blocks, cut; its long and its short items begin at these places.
struct Cut {
  int tile;
  int blocks;
  int longs, shorts;
  int pieces;
  int partials, slots;
};

__device__ void write_item(const ListPlan& plan, const Cut& cut, int limit, int i) {
  AttendItem item = plan.tiles[cut.tile];
  item.block_begin = piece_begin(cut.blocks, limit, cut.pieces, i);
  item.block_end = piece_begin(cut.blocks, limit, cut.pieces, i + 1);
  item.partial = cut.pieces > 1 ? cut.partials + i * cut.slots : -1;
  const bool is_short = i == cut.pieces - 1 && 2 * (item.block_end - item.block_begin) < limit;
  plan.items[is_short ? cut.shorts : cut.longs + i] = item;
}

// The items of this thread's tile, if it has one (pieces > 0). Tiles of many items are shared by
// the warp.
__device__ void write_items(const ListPlan& plan, const Cut& mine, int limit) {
  constexpr int kAlone = 4;
  if (mine.pieces <= kAlone) {
    for (int i = 0; i < mine.pieces; ++i) write_item(plan, mine, limit, i);
  }
  for (uint32_t many = __ballot_sync(~0U, mine.pieces > kAlone); many != 0; many &= many - 1) {
    const int lane = __ffs(static_cast<int>(many)) - 1;
    const auto from = [lane](int x) { return __shfl_sync(~0U, x, lane); };
    const Cut cut{from(mine.tile),   from(mine.blocks),   from(mine.longs), from(mine.shorts),
                  from(mine.pieces), from(mine.partials), from(mine.slots)};
    for (int i = threadIdx.x % kWarp; i < cut.pieces; i += kWarp) write_item(plan, cut, limit, i);
  }
}

// Writes the items of tiles [first, end) after those that are counted in `before`: the long ones,
// then the short. Returns all that is counted then.
__device__ Shares divide_tiles(const ListPlan& plan, int first, int end, int limit, int slots,
                               const Shares& before) {
  int longs = 0;
  for (int i = first + static_cast<int>(threadIdx.x); i < end; i += kThreads)
    longs += shares_of(plan.list_blocks[plan.tiles[i].list], limit, slots).longs;
  longs = block_reduce(longs, [](int a, int b) { return a + b; }, 0);
  // From here on `longs` and `shorts` are the places of the next long and the next short item.
  Shares next = before;
  next.longs = before.items();
  next.shorts = before.items() + longs;
  for (int begin = first; begin < end; begin += kThreads) {
    const int i = begin + static_cast<int>(threadIdx.x);
    int blocks = 0;
    Shares share, sum;
    if (i < end) {
      blocks = plan.list_blocks[plan.tiles[i].list];
      share = shares_of(blocks, limit, slots);
    }
    const Shares at = next + exclusive_scan(share, sum);
    write_items(plan, {i, blocks, at.longs, at.shorts, share.items(), at.partials, slots}, limit);
    if (share.merges > 0) {
      const AttendItem tile = plan.tiles[i];
      plan.merge[at.merges] = {.seq = tile.seq,
                               .kv_head = tile.kv_head,
                               .row_begin = tile.row_begin,
                               .rows = tile.rows,
                               .partial_begin = at.partials,
                               .num_partials = share.items(),
                               .slots = slots};
    }
    next = next + sum;
  }
  next.shorts -= next.longs;  // counts again: of all items so far
  return next;
}

__device__ void divide(const ListPlan& plan) {
  int mine = 0;
  for (int i = threadIdx.x; i < plan.num_tiles(); i += kThreads)
    mine += plan.list_blocks[plan.tiles[i].list];
  const int total = block_reduce(mine, [](int a, int b) { return a + b; }, 0);
  const int limit = max(kSplitBlocks, (total + plan.num_workers - 1) / plan.num_workers);
  const Shares decode = divide_tiles(plan, 0, plan.num_decode_tiles, limit, 1, {});
  const Shares all = divide_tiles(plan, plan.num_decode_tiles, plan.num_tiles(), limit,
                                  kPrefillRows / kDecodeRows, decode);
  if (threadIdx.x == 0) {
    *plan.counts = {.decode_items = decode.items(),
                    .prefill_items = all.items() - decode.items(),
                    .merge_items = all.merges,
                    .tickets = 0};
  }
}

__global__ void __launch_bounds__(kThreads)
    plan_lists_kernel(const KvRunsView runs, const ListPlan plan) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int list = blockIdx.x;
  const int begin = runs.run_indptr[list], count = runs.run_indptr[list + 1] - begin;
  const int slots = count_slots(runs.runs + begin, count, plan.list_keys[list],
                                plan.checkpoints + list * kCheckpoints);
  if (threadIdx.x == 0) plan.list_blocks[list] = (slots + kBlockTokens - 1) / kBlockTokens;
  __threadfence();
  __syncthreads();
  __shared__ bool is_last;
  if (threadIdx.x == 0) is_last = atomicAdd(&plan.counts->tickets, 1U) == gridDim.x - 1;
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  divide(plan);
}

}  // namespace

void launch_plan_lists(const KvRunsView& runs, const ListPlan& plan, cudaStream_t stream) {
  launch(plan_lists_kernel, dim3(static_cast<unsigned>(plan.num_lists)), kThreads, 0, stream, runs,
         plan);
}

}  // namespace sluice::cuda
