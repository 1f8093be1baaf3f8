// Checkpoint rows to device element types, on the host.
#include "kernels/cuda/convert.h"

#include <cstring>

namespace sluice::cuda {
namespace {

float element(const void* row, DType dtype, int64_t col) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(row)[col];
    case DType::kBF16:
      return to_float(static_cast<const BF16*>(row)[col]);
    case DType::kF16:
      return half_to_float(static_cast<const uint16_t*>(row)[col]);
  }
  fail_check(__FILE__, __LINE__, "unknown dtype");
}

}  // namespace

void convert_rows(void* to, DType dtype, const TensorView& from) {
  for (int64_t r = 0; r < from.rows; ++r) {
    const void* row = from.row_ptr(r);
    const int64_t first = r * from.cols;
    if (dtype == from.dtype) {
      const size_t bytes = static_cast<size_t>(from.cols) * size_of(dtype);
      std::memcpy(static_cast<std::byte*>(to) + static_cast<size_t>(r) * bytes, row, bytes);
      continue;
    }
    for (int64_t c = 0; c < from.cols; ++c) {
      const float value = element(row, from.dtype, c);
      if (dtype == DType::kF32) {
        static_cast<float*>(to)[first + c] = value;
      } else {
        static_cast<BF16*>(to)[first + c] = to_bf16(value);
      }
    }
  }
}

}  // namespace sluice::cuda
