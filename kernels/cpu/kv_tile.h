// The order of elements inside a K or V tile (ragged_batch.h) of the CPU backend: panels, so that
// attention is the same product as a matrix multiplication (kernel_table.h).
//
//   K tile: one panel, tokens in columns, features in steps:      word (feature, token)
//   V tile: panels of 64 features in columns, tokens in steps: word (token, feature); a head_dim of
//           32 more than a multiple of 64 ends in a panel of 32 columns
//
// In bf16 a word holds two steps, so both tiles are 64 x head_dim elements in either dtype.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace sluice {

// Index of element (step k, column) in a panel of `width` columns, in elements of the dtype.
constexpr int64_t panel_index(int64_t k, int64_t column, DType dtype, int width = kPanelColumns) {
  return dtype == DType::kF32 ? k * width + column : (k / 2 * width + column) * 2 + k % 2;
}

constexpr int64_t k_tile_index(int token, int feature, DType dtype) {
  return panel_index(feature, token, dtype);
}

constexpr int64_t v_tile_index(int token, int feature, int head_dim, DType dtype) {
  const int first = feature / kPanelColumns * kPanelColumns;
  return int64_t{first} * kBlockTokens +
         panel_index(token, feature - first, dtype, panel_width(first, head_dim));
}

}  // namespace sluice
