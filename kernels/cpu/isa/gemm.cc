// Packed rows times packed weights.
#include "kernels/cpu/isa/functions.h"
#include "kernels/cpu/isa/panel.h"

namespace sluice::SLUICE_ISA {
namespace {

template <typename Panel, typename T>
void pack_rows(std::byte* to, const Rows& x, int64_t rows, int64_t steps) {
  const size_t row_bytes = static_cast<size_t>(steps) * sizeof(typename Panel::X);
  const int64_t whole = x.cols / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = static_cast<const T*>(x.data) + r * x.stride;
    std::byte* row = to + static_cast<size_t>(r) * row_bytes;
    constexpr size_t kElementBytes = sizeof(typename Panel::X) / Panel::kStep;
    for (int64_t i = 0; i < whole; i += kLanes) {
      Panel::pack(
          reinterpret_cast<typename Panel::X*>(row + static_cast<size_t>(i) * kElementBytes),
          load_f32(from + i));
    }
    if (whole == x.cols) continue;
    alignas(64) std::byte tail[64];
    Panel::pack(reinterpret_cast<typename Panel::X*>(tail),
                load_part(from + whole, x.cols - whole));
    std::memcpy(row + static_cast<size_t>(whole) * kElementBytes, tail,
                row_bytes - static_cast<size_t>(whole) * kElementBytes);
  }
}

template <typename T, int R, int C>
SLUICE_INLINE void store_tile(const Vf (&acc)[R][C], T* out, int64_t stride, int64_t columns) {
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      T* to = out + r * stride + c * kLanes;
      if ((c + 1) * kLanes <= columns) {
        store_f32(to, acc[r][c]);
      } else {
        store_part(to, acc[r][c], columns - c * kLanes);
      }
    }
  }
}

const uint32_t* columns_at(const GemmArgs& a, int64_t column) {
  return a.panels + column / kPanelColumns * a.steps * kPanelColumns + column % kPanelColumns;
}

// R rows from `row` on, columns [column, column + C vectors) of one panel.
template <typename Panel, typename T, int R, int C>
SLUICE_INLINE void gemm_tile(const GemmArgs& a, int64_t row, int64_t column, Ahead ahead) {
  Vf acc[R][C] = {};
  const auto* x = reinterpret_cast<const typename Panel::X*>(a.x) + row * a.steps;
  multiply_tile<Panel>(acc, x, a.steps, columns_at(a, column), a.steps, ahead);
  store_tile(acc, static_cast<T*>(a.out.data) + row * a.out.stride + column, a.out.stride,
             a.n - column);
}

// Blocks of rows from which on fetching ahead pays: with fewer, memory has no time to spare.
constexpr int64_t kAheadBlocks = 4;

template <typename Panel, typename T>
void gemm_panels(const GemmArgs& a, int64_t first, int64_t last) {
  const int64_t begin = first * kPanelColumns;
  const int64_t end = last * kPanelColumns;
  if (a.rows == 1) {
    for (int64_t column = begin; column < end; column += kSingleRowVectors * kLanes)
      gemm_tile<Panel, T, 1, kSingleRowVectors>(a, 0, column, {});
    return;
  }
  // The first block of rows waits for its columns of the panel; the later ones find them in cache,
  // and fetch the next columns meanwhile, each its share of a step's cache lines.
  constexpr int64_t kWidth = kTileVectors * kLanes;
  constexpr int64_t kLines = ceil_div(kWidth, kCacheLineWords);
  const int64_t blocks = ceil_div(a.rows, kTileRows);
  const int64_t share = blocks < kAheadBlocks ? 0 : ceil_div(kLines, blocks - 1);
  for (int64_t column = begin; column < end; column += kWidth) {
    int64_t line = column + kWidth < end ? -share : kLines;
    for_row_blocks(a.rows, [&](auto count, int64_t row) {
      Ahead ahead;
      if (line >= 0 && line < kLines) {
        ahead.at = columns_at(a, column + kWidth) + line * kCacheLineWords;
        ahead.lines = share;
      }
      line += share;
      gemm_tile<Panel, T, decltype(count)::value, kTileVectors>(a, row, column, ahead);
    });
  }
}

}  // namespace

size_t x_row_bytes(ProductTypes types, int64_t steps) {
  size_t bytes = 0;
  with_panel(types, [&](auto panel) {
    bytes = static_cast<size_t>(steps) * sizeof(typename decltype(panel)::X);
  });
  return bytes;
}

void pack_x(std::byte* to, const Rows& x, int64_t rows, ProductTypes types, int64_t steps) {
  with_panel(types, [&](auto panel) {
    if (x.dtype == DType::kF32) {
      pack_rows<decltype(panel), float>(to, x, rows, steps);
    } else {
      pack_rows<decltype(panel), BF16>(to, x, rows, steps);
    }
  });
}

void gemm(const GemmArgs& args, int64_t first, int64_t last) {
  with_panel(args.types, [&](auto panel) {
    if (args.out.dtype == DType::kF32) {
      gemm_panels<decltype(panel), float>(args, first, last);
    } else {
      gemm_panels<decltype(panel), BF16>(args, first, last);
    }
  });
}

}  // namespace sluice::SLUICE_ISA
