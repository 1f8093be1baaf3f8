// From run-time values to template arguments: element types and vector widths, closed lists both.
#pragma once

#include <cuda_bf16.h>

#include <initializer_list>
#include <type_traits>

#include "base/check.h"
#include "kernels/tensor.h"

namespace sluice::cuda {

// Calls `function` with a value of the element type that `dtype` names: float or __nv_bfloat16.
template <typename Function>
void dispatch_dtype(DType dtype, Function function) {
  SLUICE_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  if (dtype == DType::kF32) {
    function(float{});
  } else {
    function(__nv_bfloat16{});
  }
}

// Calls `function` with `head_dim`, which is one of kHeadDims, as an integral constant.
template <int... kHeadDims, typename Function>
void dispatch_head_dim(int head_dim, Function function) {
  const auto call_if = [&](auto dim) {
    if (head_dim == dim()) function(dim);
    return head_dim == dim();
  };
  SLUICE_CHECK((call_if(std::integral_constant<int, kHeadDims>()) || ...));
}

// Calls `function` with the widest vector that all views can be read in, as an integral constant: 8
// or 1.
template <typename Function>
void dispatch_vector(std::initializer_list<TensorView> views, int64_t cols, Function function) {
  bool wide = cols % 8 == 0;
  for (const TensorView& view : views) {
    wide = wide && view.row_stride % 8 == 0 && reinterpret_cast<uintptr_t>(view.data) % 16 == 0;
  }
  if (wide) {
    function(std::integral_constant<int, 8>());
  } else {
    function(std::integral_constant<int, 1>());
  }
}

}  // namespace sluice::cuda
