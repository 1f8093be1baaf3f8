// Packing of weights into panels, from any dtype or from a seed.
#include "kernels/cpu/packed_weight.h"

#include <algorithm>

#include "kernels/cpu/kv_tile.h"

namespace sluice {
namespace {

float element_of(const void* row, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(row)[i];
    case DType::kBF16:
      return to_float(static_cast<const BF16*>(row)[i]);
    case DType::kF16:
      return half_to_float(static_cast<const uint16_t*>(row)[i]);
  }
  return 0;
}

int64_t panel_words(int64_t cols, DType dtype) { return panel_steps(cols, dtype) * kPanelColumns; }

// Writes one matrix row, elements value(i), into its panel column.
template <typename Value>
void write_row(uint32_t* panel, int64_t column, int64_t cols, DType dtype, Value&& value) {
  if (dtype == DType::kF32) {
    for (int64_t i = 0; i < cols; ++i)
      panel[i * kPanelColumns + column] = std::bit_cast<uint32_t>(static_cast<float>(value(i)));
    return;
  }
  for (int64_t i = 0; i < cols; i += 2) {
    const uint32_t low = to_bf16(value(i)).bits;
    const uint32_t high = i + 1 < cols ? to_bf16(value(i + 1)).bits : 0;
    panel[i / 2 * kPanelColumns + column] = low | high << 16;
  }
}

// Calls write(panel, column, row) for each row of the matrix, panels in parallel, and zeroes the
// columns past the last row.
template <typename Write>
void for_rows(void* to, int64_t rows, int64_t cols, DType dtype, ThreadPool& pool, Write&& write) {
  const int64_t words = panel_words(cols, dtype);
  pool.parallel_for(packed_panels(rows), [&](int64_t p, int) {
    uint32_t* panel = static_cast<uint32_t*>(to) + p * words;
    const int64_t first = p * kPanelColumns;
    const int64_t count = std::min<int64_t>(kPanelColumns, rows - first);
    if (count < kPanelColumns) std::fill_n(panel, words, 0U);
    for (int64_t c = 0; c < count; ++c) write(panel, c, first + c);
  });
}

float random_element(uint64_t seed, int64_t row, int64_t col, float scale) {
  const uint64_t index = (static_cast<uint64_t>(row) << 32) + static_cast<uint64_t>(col) + 1;
  uint64_t z = seed + index * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return scale * (2.0F * (static_cast<float>(z >> 40) * 0x1p-24F) - 1.0F);
}

void store_element(float* to, float x) { *to = x; }
void store_element(BF16* to, float x) { *to = to_bf16(x); }

template <typename T>
void unpack(T* out, const void* packed, int64_t row, int64_t cols, DType dtype) {
  const uint32_t* panel =
      static_cast<const uint32_t*>(packed) + row / kPanelColumns * panel_words(cols, dtype);
  const int64_t column = row % kPanelColumns;
  for (int64_t i = 0; i < cols; ++i) {
    const int64_t at = panel_index(i, column, dtype);
    store_element(out + i, dtype == DType::kF32
                               ? reinterpret_cast<const float*>(panel)[at]
                               : to_float(reinterpret_cast<const BF16*>(panel)[at]));
  }
}

}  // namespace

int64_t packed_panels(int64_t rows) { return ceil_div(rows, kPanelColumns); }

size_t packed_bytes(int64_t rows, int64_t cols, DType dtype) {
  return static_cast<size_t>(packed_panels(rows) * panel_words(cols, dtype)) * sizeof(uint32_t);
}

void pack_weight(void* to, std::span<const TensorView> parts, DType dtype, ThreadPool& pool) {
  int64_t rows = 0;
  for (const TensorView& part : parts) rows += part.rows;
  const int64_t cols = parts.front().cols;
  for_rows(to, rows, cols, dtype, pool, [&](uint32_t* panel, int64_t column, int64_t row) {
    const TensorView* part = parts.data();
    for (; row >= part->rows; ++part) row -= part->rows;
    const void* from = part->row_ptr(row);
    write_row(panel, column, cols, dtype,
              [&](int64_t i) { return element_of(from, part->dtype, i); });
  });
}

void pack_random_weight(void* to, int64_t rows, int64_t cols, DType dtype, uint64_t seed,
                        float scale, ThreadPool& pool) {
  for_rows(to, rows, cols, dtype, pool, [&](uint32_t* panel, int64_t column, int64_t row) {
    write_row(panel, column, cols, dtype,
              [&](int64_t i) { return random_element(seed, row, i, scale); });
  });
}

void unpack_row(float* out, const void* packed, int64_t row, int64_t cols, DType dtype) {
  unpack(out, packed, row, cols, dtype);
}
void unpack_row(BF16* out, const void* packed, int64_t row, int64_t cols, DType dtype) {
  unpack(out, packed, row, cols, dtype);
}

}  // namespace sluice
