// Weights as panels (kernel_table.h): [ceil(rows / 64)][steps][64] words, zeros where the matrix
// has no element. Rows of the matrix are columns of the panels.
#pragma once

#include <span>

#include "kernels/cpu/thread_pool.h"
#include "kernels/tensor.h"

namespace sluice {

int64_t packed_panels(int64_t rows);
size_t packed_bytes(int64_t rows, int64_t cols, DType dtype);

// Stacks `parts` along rows into `to` (packed_bytes long), rounding to `dtype`.
void pack_weight(void* to, std::span<const TensorView> parts, DType dtype, ThreadPool& pool);

// Backend::random_weight's numbers into `to`.
void pack_random_weight(void* to, int64_t rows, int64_t cols, DType dtype, uint64_t seed,
                        float scale, ThreadPool& pool);

// out[i] = element (row, i) of a packed [_, cols] matrix, i < cols.
void unpack_row(float* out, const void* packed, int64_t row, int64_t cols, DType dtype);
void unpack_row(BF16* out, const void* packed, int64_t row, int64_t cols, DType dtype);

}  // namespace sluice
