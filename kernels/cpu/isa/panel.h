// The one product of the CPU backend: R packed rows times a panel of 64 columns (kernel_table.h).
//
//            step s:  broadcast x[r][s]  *  | columns in lanes |   added to acc[r][...]
//
// Every element is one chain of additions over the steps in order, whatever R and C are: blocking
// changes speed, never a bit.
#pragma once

#include "kernels/cpu/isa/simd.h"
#include "kernels/cpu/kernel_table.h"

namespace sluice::SLUICE_ISA {

inline constexpr int kCacheLineWords = 16;
inline constexpr int kPanelVectors = kPanelColumns / kLanes;

// Register tile: kTileRows x kTileVectors accumulators, loaded columns and one broadcast fill the
// registers (32 on AVX-512 and aarch64, 16 on the others).
#if defined(__AVX512F__)
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = 4;
#elif defined(__aarch64__)
inline constexpr int kTileRows = 4;
inline constexpr int kTileVectors = 4;
#elif defined(__AVX2__)
inline constexpr int kTileRows = 3;
inline constexpr int kTileVectors = 4;
#else
inline constexpr int kTileRows = 2;
inline constexpr int kTileVectors = 4;
#endif
static_assert(kPanelVectors % kTileVectors == 0);

// One row leaves registers for more columns: the whole panel, so that memory sees one stream.
inline constexpr int kSingleRowVectors = kPanelVectors < 8 ? kPanelVectors : 8;

// Panels of f32: a word of x is a float.
struct F32Panel {
  using X = float;
  using W = Vf;
  static constexpr int kStep = 1;  // elements of a step
  static SLUICE_INLINE W load_columns(const uint32_t* p) { return load<Vf>(p); }
  static SLUICE_INLINE Vf multiply_add(W w, X x, Vf acc) { return fma(w, splat(x), acc); }
  static SLUICE_INLINE void pack(X* to, Vf x) { store(to, x); }
};

#if defined(__AVX512BF16__)
// Panels of bf16 pairs, each multiplied and added by one instruction; x is rounded to bf16.
struct RoundedBF16Panel {
  using X = uint32_t;
  using W = __m512bh;
  static constexpr int kStep = 2;
  static SLUICE_INLINE W load_columns(const uint32_t* p) { return load<W>(p); }
  static SLUICE_INLINE Vf multiply_add(W w, X x, Vf acc) {
    return _mm512_dpbf16_ps(acc, w, cast<__m512bh>(splat(x)));
  }
  static SLUICE_INLINE void pack(X* to, Vf x) { store(to, _mm512_cvtneps_pbh(x)); }
};

// The same with x as two bf16, its rounding and what the rounding lost: x keeps 16 bits of
// mantissa, at twice the multiply-adds. Rounding it once moved the tiny model's log-probabilities
// by up to 0.06.
struct BF16Panel {
  struct X {
    uint32_t high, low;
  };
  using W = __m512bh;
  static constexpr int kStep = 2;
  static SLUICE_INLINE W load_columns(const uint32_t* p) { return load<W>(p); }
  static SLUICE_INLINE Vf multiply_add(W w, X x, Vf acc) {
    acc = _mm512_dpbf16_ps(acc, w, cast<__m512bh>(splat(x.high)));
    return _mm512_dpbf16_ps(acc, w, cast<__m512bh>(splat(x.low)));
  }
  static SLUICE_INLINE void pack(X* to, Vf x) {
    const __m256bh high = _mm512_cvtneps_pbh(x);
    const Vf kept = cast<Vf>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(cast<__m256i>(high)), 16));
    const __m512i pairs = _mm512_inserti64x4(_mm512_castsi256_si512(cast<__m256i>(high)),
                                             cast<__m256i>(_mm512_cvtneps_pbh(x - kept)), 1);
    const __m512i alternate =
        _mm512_set_epi32(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
    store(to, _mm512_permutexvar_epi32(alternate, pairs));
  }
};
#else
// Panels of bf16 pairs, widened in registers; x stays f32.
struct BF16Panel {
  struct X {
    float low, high;
  };
  struct W {
    Vf low, high;
  };
  static constexpr int kStep = 2;
  static SLUICE_INLINE W load_columns(const uint32_t* p) {
    const Vu pair = load<Vu>(p);
    return {cast<Vf>(pair << 16), cast<Vf>(pair & 0xffff0000U)};
  }
  static SLUICE_INLINE Vf multiply_add(W w, X x, Vf acc) {
    return fma(w.high, splat(x.high), fma(w.low, splat(x.low), acc));
  }
  static SLUICE_INLINE void pack(X* to, Vf x) { store(to, x); }
};
// The same with x rounded to bf16: no faster here, but the same numbers as where it is.
struct RoundedBF16Panel : BF16Panel {
  static SLUICE_INLINE void pack(X* to, Vf x) {
    store(to, cast<Vf>(__builtin_convertvector(round_bf16(x), Vu) << 16));
  }
};
#endif

// Calls `body` with the panel type of a product.
template <typename Body>
SLUICE_INLINE void with_panel(ProductTypes types, Body&& body) {
  if (types.panel == DType::kF32) {
    body(F32Panel{});
  } else if (types.rows == DType::kBF16) {
    body(RoundedBF16Panel{});
  } else {
    body(BF16Panel{});
  }
}

// Part of a panel to fetch into the second-level cache meanwhile: `lines` cache lines a step.
struct Ahead {
  const uint32_t* at = nullptr;
  int64_t lines = 0;
};

// acc[r][c] += sum over `steps` of x[r] times column vector c of the panel at `w`.
// kColumns: of the panel.
template <typename Panel, int R, int C, int kColumns = kPanelColumns>
SLUICE_INLINE void multiply_tile(Vf (&acc)[R][C], const typename Panel::X* x, int64_t x_stride,
                                 const uint32_t* w, int64_t steps, Ahead ahead = {}) {
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t line = 0; line < ahead.lines; ++line)
      __builtin_prefetch(ahead.at + s * kColumns + line * kCacheLineWords, 0,
                         /*second level*/ 2);
    typename Panel::W columns[C];
    for (int c = 0; c < C; ++c) columns[c] = Panel::load_columns(w + s * kColumns + c * kLanes);
    for (int r = 0; r < R; ++r) {
      const typename Panel::X broadcast = x[r * x_stride + s];
      for (int c = 0; c < C; ++c) acc[r][c] = Panel::multiply_add(columns[c], broadcast, acc[r][c]);
    }
  }
}

// Calls body(std::integral_constant-like R, first row) for blocks of at most kTileRows rows, as
// equal as can be: eight rows go as 4 + 4, not as 6 + 2.
template <int R>
struct RowCount {
  static constexpr int value = R;
};
template <int R = kTileRows, typename Body>
SLUICE_INLINE void dispatch_rows(int rows, Body&& body) {
  if constexpr (R > 0) {
    if (rows == R) {
      body(RowCount<R>{});
    } else {
      dispatch_rows<R - 1>(rows, body);
    }
  }
}
template <typename Body>
SLUICE_INLINE void for_row_blocks(int64_t rows, Body&& body) {
  const int64_t blocks = ceil_div(rows, kTileRows);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t first = b * rows / blocks;
    const int64_t last = (b + 1) * rows / blocks;
    dispatch_rows(static_cast<int>(last - first), [&](auto count) { body(count, first); });
  }
}

}  // namespace sluice::SLUICE_ISA
