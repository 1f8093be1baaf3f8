// Checkpoint rows to the element type that the device keeps.
#pragma once

#include "kernels/tensor.h"

namespace sluice::cuda {

// Writes the rows of `from` (host, any dtype, strided) to `to`, dense, as kF32 or kBF16 (rounded to
// nearest even).
void convert_rows(void* to, DType dtype, const TensorView& from);

}  // namespace sluice::cuda
