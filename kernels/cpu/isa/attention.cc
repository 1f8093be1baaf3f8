// Attention over paged K and V with an online softmax (Milakov and Gimelshein, arXiv:1805.02867;
// tiled as in FlashAttention, arXiv:2205.14135). The unit is a tile of 64 keys, aligned to the
// sequence's blocks:
//
//   for each tile: S = q K^T | mask | m' = max(m, max S) | p = 2^(S - m') | O = O 2^(m - m') + p V
//
// What a row computes depends on its own position and keys only: whether it comes alone, in a chunk
// or in a whole prompt changes no bit.
#include "kernels/cpu/isa/functions.h"
#include "kernels/cpu/isa/panel.h"

namespace sluice::SLUICE_ISA {
namespace {

constexpr uint64_t kAllKeys = ~uint64_t{0};

// The lowest `count` bits.
uint64_t low_bits(int count) {
  if (count <= 0) return 0;
  return count >= kBlockTokens ? kAllKeys : (uint64_t{1} << count) - 1;
}

// Views of a row's state (kernel_table.h).
struct State {
  float* values;
  float* sums;
  float* max;
};
SLUICE_INLINE State state_of(float* states, int64_t row, int head_dim) {
  float* values = states + row * attend_state_floats(head_dim);
  return {values, values + head_dim, values + head_dim + kSumLanes};
}

// The keys of each 64-key tile that a run list names. Asked for ascending tiles.
class RunMask {
 public:
  RunMask(const KvRun* runs, int num_runs) : runs_(runs), num_runs_(num_runs) {}

  uint64_t of_tile(int tile) {
    if (runs_ == nullptr) return kAllKeys;
    const int base = tile * kBlockTokens;
    uint64_t mask = 0;
    for (int i = next_; i < num_runs_ && runs_[i].start < base + kBlockTokens; ++i) {
      const int first = runs_[i].start > base ? runs_[i].start - base : 0;
      const int last = runs_[i].start + runs_[i].len - base;
      if (last <= 0) {
        next_ = i + 1;
      } else {
        mask |= low_bits(last) & ~low_bits(first);
      }
    }
    return mask;
  }

 private:
  const KvRun* runs_;
  int num_runs_;
  int next_ = 0;  // runs before it end before the tiles to come
};

// Lane mask of `count` lanes from the low bits of `bits`.
SLUICE_INLINE Vi lanes_of(uint32_t bits) {
  const Vu selected = splat(bits) & (splat(1U) << cast<Vu>(lane_index()));
  return selected != 0U;
}

// V words with the masked keys zeroed: p is 0 there, and 0 times a NaN left over from the slot's
// last owner would not be.
template <typename Panel>
void clean_v(uint32_t* to, const uint32_t* v, uint64_t keys, int head_dim) {
  constexpr int kSteps = kBlockTokens / Panel::kStep;
  for (int panel = 0; panel < head_dim / kPanelColumns; ++panel) {
    for (int s = 0; s < kSteps; ++s) {
      const uint64_t bits = keys >> (s * Panel::kStep);
      const uint32_t keep = Panel::kStep == 1
                                ? (bits & 1 ? 0xffffffffU : 0)
                                : (bits & 1 ? 0xffffU : 0) | (bits & 2 ? 0xffff0000U : 0);
      const int64_t at = int64_t{panel * kSteps + s} * kPanelColumns;
      for (int c = 0; c < kPanelColumns; c += kLanes)
        store(to + at + c, load<Vu>(v + at + c) & splat(keep));
    }
  }
}

// One tile of keys as the rows of a task meet it.
template <typename Panel>
struct Tile {
  const uint32_t* k;
  const uint32_t* v;
  uint64_t keys;  // visible to any row, causality aside
  int base;       // position of key 0
  int v_steps;    // steps of v up to the last visible key
};

// S = q K^T for R rows, scaled to base 2, into s.
template <typename Panel, int R>
SLUICE_INLINE void score(float (&s)[R][kPanelColumns], const typename Panel::X* q, int64_t q_words,
                         const uint32_t* k, float scale) {
  for (int c = 0; c < kPanelColumns; c += kTileVectors * kLanes) {
    Vf acc[R][kTileVectors] = {};
    multiply_tile<Panel>(acc, q, q_words, k + c, q_words, 0);
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kTileVectors; ++i) store(&s[r][c + i * kLanes], acc[r][i] * scale);
    }
  }
}

// One row: masks s, moves the state to the new maximum and leaves p in `p`.
template <typename Panel>
SLUICE_INLINE void softmax_row(typename Panel::X* p, const float* s, uint64_t visible, State state,
                               int head_dim) {
  Vf logit[kPanelVectors];
  Vf top = splat(*state.max);
  for (int i = 0; i < kPanelVectors; ++i) {
    logit[i] = load_f32(s + i * kLanes);
    if (visible != kAllKeys) {
      const Vi seen = lanes_of(static_cast<uint32_t>(visible >> (i * kLanes)));
      logit[i] = seen ? logit[i] : splat(-__builtin_inff());
    }
    top = max(logit[i], top);
  }
  const float new_max = reduce_max(top);
  if (new_max != *state.max) {
    // A row that saw no key yet holds zeros only: any factor will do, but not 2^(-inf + inf).
    const Vf factor = exp2(splat(*state.max - new_max));
    for (int i = 0; i < kSumLanes; i += kLanes)
      store(state.sums + i, load_f32(state.sums + i) * factor);
    for (int i = 0; i < head_dim; i += kLanes)
      store(state.values + i, load_f32(state.values + i) * factor);
    *state.max = new_max;
  }
  const Vf offset = splat(new_max == -__builtin_inff() ? 0.0F : new_max);
  for (int i = 0; i < kPanelVectors; ++i) {
    const Vf weight = exp2(logit[i] - offset);
    float* sum = state.sums + i * kLanes % kSumLanes;
    store(sum, load_f32(sum) + weight);
    Panel::pack(p + i * kLanes / Panel::kStep, weight);
  }
}

// O += p V for R rows.
template <typename Panel, int R>
SLUICE_INLINE void accumulate(float* states, int64_t first_row, const typename Panel::X* p,
                              const Tile<Panel>& tile, int head_dim) {
  constexpr int kSteps = kBlockTokens / Panel::kStep;
  for (int f = 0; f < head_dim; f += kTileVectors * kLanes) {
    Vf acc[R][kTileVectors];
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kTileVectors; ++i)
        acc[r][i] = load_f32(state_of(states, first_row + r, head_dim).values + f + i * kLanes);
    }
    const uint32_t* v =
        tile.v + int64_t{f / kPanelColumns} * kSteps * kPanelColumns + f % kPanelColumns;
    multiply_tile<Panel>(acc, p, kSteps, v, tile.v_steps, 0);
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kTileVectors; ++i)
        store(state_of(states, first_row + r, head_dim).values + f + i * kLanes, acc[r][i]);
    }
  }
}

// One tile for R rows from `first_row` on.
template <typename Panel, int R>
SLUICE_INLINE void attend_rows(const AttendTask& task, const Tile<Panel>& tile, int64_t first_row,
                               const typename Panel::X* q, float* states) {
  const auto visible = [&](int64_t row) {
    const int position = task.first_position + static_cast<int>(row) / task.group;
    return tile.keys & low_bits(position + 1 - tile.base);
  };
  if (visible(first_row + R - 1) == 0) return;  // later rows see more
  const int64_t q_words = task.head_dim / Panel::kStep;
  const float log2e = 1.44269504088896341F;
  alignas(64) float s[R][kPanelColumns];
  score<Panel, R>(s, q + first_row * q_words, q_words, tile.k, task.scale * log2e);
  alignas(64) typename Panel::X p[R][kBlockTokens / Panel::kStep];
  for (int r = 0; r < R; ++r) {
    softmax_row<Panel>(p[r], s[r], visible(first_row + r),
                       state_of(states, first_row + r, task.head_dim), task.head_dim);
  }
  accumulate<Panel, R>(states, first_row, p[0], tile, task.head_dim);
}

template <typename Panel>
void pack_queries(typename Panel::X* to, const AttendTask& task) {
  const int64_t words = task.head_dim / Panel::kStep;
  for (int t = 0; t < task.tokens; ++t) {
    for (int h = 0; h < task.group; ++h) {
      typename Panel::X* row = to + (int64_t{t} * task.group + h) * words;
      const int64_t at = t * task.q.stride + h * task.head_dim;
      for (int i = 0; i < task.head_dim; i += kLanes) {
        Panel::pack(row + i / Panel::kStep,
                    task.q.dtype == DType::kF32
                        ? load_f32(static_cast<const float*>(task.q.data) + at + i)
                        : load_f32(static_cast<const BF16*>(task.q.data) + at + i));
      }
    }
  }
}

template <typename Panel>
void attend_keys(const AttendTask& task, float* states, std::byte* scratch) {
  const int64_t rows = int64_t{task.tokens} * task.group;
  auto* q = reinterpret_cast<typename Panel::X*>(scratch);
  auto* clean = reinterpret_cast<uint32_t*>(scratch + rows * task.head_dim *
                                                          static_cast<int64_t>(sizeof(float)));
  pack_queries<Panel>(q, task);
  for (int64_t r = 0; r < rows; ++r) {
    const State state = state_of(states, r, task.head_dim);
    std::memset(state.values, 0, static_cast<size_t>(attend_state_floats(task.head_dim)) * 4);
    *state.max = -__builtin_inff();
  }

  RunMask runs(task.runs, task.num_runs);
  const int past_last = task.first_position + task.tokens;  // keys that the last row sees
  const int key_end = task.key_end < past_last ? task.key_end : past_last;
  for (int base = task.key_begin; base < key_end; base += kBlockTokens) {
    const uint64_t keys = runs.of_tile(base / kBlockTokens) & low_bits(past_last - base);
    if (keys == 0) continue;
    const int64_t at = task.blocks[base / kBlockTokens] * task.block_bytes;
    const int last_key = kBlockTokens - __builtin_clzll(keys);
    Tile<Panel> tile{reinterpret_cast<const uint32_t*>(task.k + at),
                     reinterpret_cast<const uint32_t*>(task.v + at), keys, base,
                     static_cast<int>(ceil_div(last_key, Panel::kStep))};
    if (keys != kAllKeys) {
      clean_v<Panel>(clean, tile.v, keys, task.head_dim);
      tile.v = clean;
    }
    for_row_blocks(rows, [&](auto count, int64_t first_row) {
      attend_rows<Panel, decltype(count)::value>(task, tile, first_row, q, states);
    });
  }
}

}  // namespace

void attend(const AttendTask& task, float* state, std::byte* scratch) {
  with_panel(task.kv_dtype,
             [&](auto panel) { attend_keys<decltype(panel)>(task, state, scratch); });
}

void attend_merge(float* total, const float* segment, int64_t rows, int head_dim) {
  for (int64_t r = 0; r < rows; ++r) {
    const State to = state_of(total, r, head_dim);
    const State from = state_of(const_cast<float*>(segment), r, head_dim);
    if (*from.max == -__builtin_inff()) continue;  // the segment saw no key
    const float new_max = *to.max > *from.max ? *to.max : *from.max;
    const Vf keep = exp2(splat(*to.max - new_max));
    const Vf add = exp2(splat(*from.max - new_max));
    // Values and sums lie side by side.
    for (int i = 0; i < head_dim + kSumLanes; i += kLanes) {
      store(to.values + i, fma(load_f32(from.values + i), add, load_f32(to.values + i) * keep));
    }
    *to.max = new_max;
  }
}

void attend_finish(const AttendTask& task, const float* states) {
  for (int t = 0; t < task.tokens; ++t) {
    for (int h = 0; h < task.group; ++h) {
      const State state =
          state_of(const_cast<float*>(states), int64_t{t} * task.group + h, task.head_dim);
      Vf sums{};
      for (int i = 0; i < kSumLanes; i += kLanes) sums += load_f32(state.sums + i);
      const float sum = reduce_add(sums);
      const Vf inverse = splat(sum == 0.0F ? 0.0F : 1.0F / sum);
      const int64_t at = t * task.out.stride + h * task.head_dim;
      for (int i = 0; i < task.head_dim; i += kLanes) {
        const Vf value = load_f32(state.values + i) * inverse;
        if (task.out.dtype == DType::kF32) {
          store_f32(static_cast<float*>(task.out.data) + at + i, value);
        } else {
          store_f32(static_cast<BF16*>(task.out.data) + at + i, value);
        }
      }
    }
  }
}

}  // namespace sluice::SLUICE_ISA
