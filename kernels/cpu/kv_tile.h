// The order of elements inside a K or V tile (ragged_batch.h) of the CPU backend: panels, so that
// attention is the same product as a matrix multiplication (kernel_table.h).
//
//   K tile: one panel, tokens in columns, features in steps:      word (feature, token)
//   V tile: head_dim / 64 panels, features in columns, tokens in steps: word (token, feature)
//
// In bf16 a word holds two steps, so both tiles are 64 x head_dim elements in either dtype.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace sluice {

// Index of element (step k, column) in a panel, in elements of the dtype.
constexpr int64_t panel_index(int64_t k, int64_t column, DType dtype) {
  return dtype == DType::kF32 ? k * kPanelColumns + column
                              : (k / 2 * kPanelColumns + column) * 2 + k % 2;
}

constexpr int64_t k_tile_index(int token, int feature, DType dtype) {
  return panel_index(feature, token, dtype);
}

constexpr int64_t v_tile_index(int token, int feature, DType dtype) {
  return int64_t{feature / kPanelColumns} * kPanelColumns * kBlockTokens +
         panel_index(token, feature % kPanelColumns, dtype);
}

}  // namespace sluice
