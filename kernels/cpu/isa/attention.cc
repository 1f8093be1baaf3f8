// Attention over paged K and V with an online softmax (Milakov and Gimelshein, arXiv:1805.02867;
// tiled as in FlashAttention, arXiv:2205.14135). The unit is a tile of 64 keys, aligned to the
// sequence's blocks:
//
//   for each tile: S = q K^T | cap | mask | m' = max(m, max S) | p = 2^(S - m') | O = O 2^(m - m')
//   + p V
//
// A task's KV heads share the loop over tiles, first all of K, then all of V, because that is how
// they lie in a block: decoding streams the cache from memory, and runs of 16 KB and more come
// twice as fast as the 8 KB of one head.
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

// The bits of those of a tile's keys, base ... base + 63, that lie in [first, end).
uint64_t range_bits(int first, int end, int base) {
  return low_bits(end - base) & ~low_bits(first - base);
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
  RunMask() = default;  // every key
  RunMask(const KvRun* runs, int num_runs) : runs_(runs), num_runs_(num_runs), all_(false) {}

  uint64_t of_tile(int tile) {
    if (all_) return kAllKeys;
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
  const KvRun* runs_ = nullptr;
  int num_runs_ = 0;
  int next_ = 0;  // runs before it end before the tiles to come
  bool all_ = true;
};

// All ones in the lanes whose bit of `bits` is set.
SLUICE_INLINE Vi lanes_of(uint32_t bits) {
  const Vu selected = splat(bits) & (splat(1U) << cast<Vu>(lane_index()));
  return selected != 0U;
}

// V words with the masked keys zeroed: p is 0 there, and 0 times a NaN left over from the slot's
// last owner would not be.
template <typename Panel>
void clean_v(uint32_t* to, const uint32_t* v, uint64_t keys, int head_dim) {
  constexpr int kSteps = kBlockTokens / Panel::kStep;
  for (int first = 0; first < head_dim; first += kPanelColumns) {
    const int width = panel_width(first, head_dim);
    for (int s = 0; s < kSteps; ++s) {
      const uint64_t bits = keys >> (s * Panel::kStep);
      const uint32_t keep = Panel::kStep == 1
                                ? (bits & 1 ? 0xffffffffU : 0)
                                : (bits & 1 ? 0xffffU : 0) | (bits & 2 ? 0xffff0000U : 0);
      const int64_t at = int64_t{first} * kSteps + int64_t{s} * width;
      for (int c = 0; c < width; c += kLanes)
        store(to + at + c, load<Vu>(v + at + c) & splat(keep));
    }
  }
}

// S = q K^T for R rows, scaled to base 2, into s.
template <typename Panel, int R>
SLUICE_INLINE void score(float (&s)[R][kPanelColumns], const typename Panel::X* q, int64_t q_words,
                         const uint32_t* k, float scale) {
  for (int c = 0; c < kPanelColumns; c += kTileVectors * kLanes) {
    Vf acc[R][kTileVectors] = {};
    multiply_tile<Panel>(acc, q, q_words, k + c, q_words);
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kTileVectors; ++i) store(&s[r][c + i * kLanes], acc[r][i] * scale);
    }
  }
}

template <int R>
SLUICE_INLINE void cap(float (&s)[R][kPanelColumns], float limit) {
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < kPanelColumns; c += kLanes)
      store(&s[r][c], soft_cap(load_f32(&s[r][c]), limit));
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

// The same of one panel of V, of kWidth columns from feature `first` on.
template <typename Panel, int R, int kWidth>
SLUICE_INLINE void accumulate_panel(float* states, const typename Panel::X* p, const uint32_t* v,
                                    int64_t steps, int head_dim, int first) {
  constexpr int kSteps = kBlockTokens / Panel::kStep;
  constexpr int kVectors = kWidth / kLanes < kTileVectors ? kWidth / kLanes : kTileVectors;
  for (int f = 0; f < kWidth; f += kVectors * kLanes) {
    Vf acc[R][kVectors];
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kVectors; ++i)
        acc[r][i] = load_f32(state_of(states, r, head_dim).values + first + f + i * kLanes);
    }
    multiply_tile<Panel, R, kVectors, kWidth>(acc, p, kSteps, v + int64_t{first} * kSteps + f,
                                              steps);
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kVectors; ++i)
        store(state_of(states, r, head_dim).values + first + f + i * kLanes, acc[r][i]);
    }
  }
}

// O += p V for R rows, over the first `steps` steps of V.
template <typename Panel, int R>
SLUICE_INLINE void accumulate(float* states, const typename Panel::X* p, const uint32_t* v,
                              int64_t steps, int head_dim) {
  int first = 0;
  for (; first + kPanelColumns <= head_dim; first += kPanelColumns)
    accumulate_panel<Panel, R, kPanelColumns>(states, p, v, steps, head_dim, first);
  if (first < head_dim)
    accumulate_panel<Panel, R, kPanelColumns / 2>(states, p, v, steps, head_dim, first);
}

// A task in progress: `Panel`'s view of its memory.
template <typename Panel>
class TaskRun {
 public:
  using X = typename Panel::X;

  TaskRun(const AttendTask& task, float* states, std::byte* scratch)
      : task_(task), head_rows_(int64_t{task.tokens} * task.group), states_(states) {
    const int64_t rows = task.rows();
    q_ = reinterpret_cast<X*>(scratch);
    p_ = reinterpret_cast<X*>(scratch + rows * task.head_dim * kFloat);
    clean_ = reinterpret_cast<uint32_t*>(scratch + rows * (task.head_dim + kBlockTokens) * kFloat);
    pack_queries();
    for (int64_t r = 0; r < rows; ++r) {
      const State state = state_of(states, r, task.head_dim);
      std::memset(state.values, 0, static_cast<size_t>(attend_state_floats(task.head_dim)) * 4);
      *state.max = -__builtin_inff();
    }
  }

  void run() {
    RunMask runs[kTaskHeadsMax];
    for (int h = 0; h < task_.kv_heads && task_.run_indptr != nullptr; ++h) {
      runs[h] =
          RunMask(task_.runs + task_.run_indptr[h], task_.run_indptr[h + 1] - task_.run_indptr[h]);
    }
    const int past_last = task_.first_position + task_.tokens;  // keys that the last token sees
    const int key_end = task_.key_end < past_last ? task_.key_end : past_last;
    const int first_key = first_visible(task_.first_position, task_.window);
    const int first_base = first_key / kBlockTokens * kBlockTokens;
    for (int base = task_.key_begin > first_base ? task_.key_begin : first_base; base < key_end;
         base += kBlockTokens) {
      uint64_t keys[kTaskHeadsMax];  // visible to any row, a head each
      for (int h = 0; h < task_.kv_heads; ++h)
        keys[h] = runs[h].of_tile(base / kBlockTokens) & range_bits(first_key, past_last, base);
      const int64_t at = task_.blocks[base / kBlockTokens] * task_.block_bytes;
      for (int h = 0; h < task_.kv_heads; ++h)
        if (keys[h] != 0) meet_keys(h, base, keys[h], task_.k + at + h * task_.tile_bytes);
      for (int h = 0; h < task_.kv_heads; ++h)
        if (keys[h] != 0) meet_values(h, base, keys[h], task_.v + at + h * task_.tile_bytes);
    }
  }

 private:
  static constexpr int64_t kFloat = sizeof(float);
  static constexpr int kPSteps = kBlockTokens / Panel::kStep;

  int64_t q_words() const { return task_.head_dim / Panel::kStep; }
  // The tile's keys that lie where rows [first, last] of a head look.
  uint64_t visible(int64_t first, int64_t last, int base, uint64_t keys) const {
    const int from = task_.first_position + static_cast<int>(first) / task_.group;
    const int to = task_.first_position + static_cast<int>(last) / task_.group;
    return keys & range_bits(first_visible(from, task_.window), to + 1, base);
  }

  // Calls body(row count, first row) for a head's blocks of rows that see any of the keys.
  template <typename Body>
  void for_seeing_rows(int head, int base, uint64_t keys, Body&& body) {
    for_row_blocks(head_rows_, [&](auto count, int64_t first) {
      constexpr int kRows = decltype(count)::value;
      if (visible(first, first + kRows - 1, base, keys) == 0) return;
      body(count, first, head * head_rows_ + first);
    });
  }

  void meet_keys(int head, int base, uint64_t keys, const std::byte* k) {
    for_seeing_rows(head, base, keys, [&](auto count, int64_t first, int64_t row) {
      constexpr int kRows = decltype(count)::value;
      constexpr float kLog2E = 1.44269504088896341F;
      alignas(64) float s[kRows][kPanelColumns];
      score<Panel, kRows>(s, q_ + row * q_words(), q_words(), reinterpret_cast<const uint32_t*>(k),
                          task_.scale * kLog2E);
      if (task_.soft_cap > 0) cap(s, task_.soft_cap * kLog2E);
      for (int r = 0; r < kRows; ++r) {
        softmax_row<Panel>(p_ + (row + r) * kPSteps, s[r],
                           visible(first + r, first + r, base, keys),
                           state_of(states_, row + r, task_.head_dim), task_.head_dim);
      }
    });
  }

  void meet_values(int head, int base, uint64_t keys, const std::byte* values) {
    const auto* v = reinterpret_cast<const uint32_t*>(values);
    if (keys != kAllKeys) {
      clean_v<Panel>(clean_, v, keys, task_.head_dim);
      v = clean_;
    }
    const int last_key = kBlockTokens - __builtin_clzll(keys);
    for_seeing_rows(head, base, keys, [&](auto count, int64_t, int64_t row) {
      accumulate<Panel, decltype(count)::value>(state_of(states_, row, task_.head_dim).values,
                                                p_ + row * kPSteps, v,
                                                ceil_div(last_key, Panel::kStep), task_.head_dim);
    });
  }

  void pack_queries() {
    X* to = q_;
    for (int h = 0; h < task_.kv_heads; ++h) {
      for (int t = 0; t < task_.tokens; ++t) {
        const int64_t at = t * task_.q.stride + int64_t{h} * task_.group * task_.head_dim;
        for (int i = 0; i < task_.group * task_.head_dim; i += kLanes) {
          Panel::pack(to, task_.q.dtype == DType::kF32
                              ? load_f32(static_cast<const float*>(task_.q.data) + at + i)
                              : load_f32(static_cast<const BF16*>(task_.q.data) + at + i));
          to += kLanes / Panel::kStep;
        }
      }
    }
  }

  const AttendTask& task_;
  const int64_t head_rows_;
  float* states_;
  X* q_;             // [rows][head_dim / kStep]
  X* p_;             // [rows][64 / kStep], of the tile under way
  uint32_t* clean_;  // a V tile
};

}  // namespace

void attend(const AttendTask& task, float* state, std::byte* scratch) {
  with_panel(task.types, [&](auto panel) { TaskRun<decltype(panel)>(task, state, scratch).run(); });
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
  const float* state = states;
  for (int h = 0; h < task.kv_heads; ++h) {
    for (int row = 0; row < task.tokens * task.group; ++row) {
      Vf sums{};
      for (int i = 0; i < kSumLanes; i += kLanes) sums += load_f32(state + task.head_dim + i);
      const float sum = reduce_add(sums);
      const Vf inverse = splat(sum == 0.0F ? 0.0F : 1.0F / sum);
      const int64_t at = row / task.group * task.out.stride +
                         (int64_t{h} * task.group + row % task.group) * task.head_dim;
      for (int i = 0; i < task.head_dim; i += kLanes) {
        const Vf value = load_f32(state + i) * inverse;
        if (task.out.dtype == DType::kF32) {
          store_f32(static_cast<float*>(task.out.data) + at + i, value);
        } else {
          store_f32(static_cast<BF16*>(task.out.data) + at + i, value);
        }
      }
      state += attend_state_floats(task.head_dim);
    }
  }
}

}  // namespace sluice::SLUICE_ISA
