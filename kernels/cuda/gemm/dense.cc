// Row-major out[T, N] = x[T, K] W[N, K]^T is, column-major, out^T[N, T] = W^T-transposed x^T: both
// operands are read along K, the layout that the tensor cores like best.
#include "kernels/cuda/gemm/dense.h"

#include <cublasLt.h>

#include <map>
#include <tuple>

#include "base/check.h"
#include "base/text.h"

namespace sluice::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    fail_check(__FILE__, __LINE__, str(call, ": cuBLAS status ", static_cast<int>(status)));
  }
}

cudaDataType_t cuda_type(DType dtype) {
  SLUICE_CHECK(dtype != DType::kF16);
  return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

// Everything that the choice of an algorithm depends on.
using Shape = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, DType, DType>;

struct Product {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

cublasLtMatrixLayout_t layout(DType dtype, int64_t rows, int64_t cols, int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublasLtMatrixLayoutCreate(&made, cuda_type(dtype), rows, cols, stride),
        "cublasLtMatrixLayoutCreate");
  return made;
}

}  // namespace

struct DenseGemm::State {
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  std::map<Shape, Product> products;  // grows with the shapes seen: layers' shapes times step sizes

  const Product& find(const TensorView& out, const TensorView& x, const Weight& weight);
};

const Product& DenseGemm::State::find(const TensorView& out, const TensorView& x,
                                      const Weight& weight) {
  const Shape shape{out.rows, out.cols, x.cols, x.row_stride, out.row_stride, x.dtype, out.dtype};
  const auto found = products.find(shape);
  if (found != products.end()) return found->second;
  Product product;
  check(cublasLtMatmulDescCreate(&product.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  const cublasOperation_t transpose = CUBLAS_OP_T;
  check(cublasLtMatmulDescSetAttribute(product.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                       sizeof(transpose)),
        "cublasLtMatmulDescSetAttribute");
  product.weight = layout(weight.dtype, weight.cols, weight.rows, weight.cols);
  product.x = layout(x.dtype, x.cols, x.rows, x.row_stride);
  product.out = layout(out.dtype, out.cols, out.rows, out.row_stride);
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace_bytes, sizeof(workspace_bytes)),
        "cublasLtMatmulPreferenceSetAttribute");
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, product.operation, product.weight, product.x,
                                       product.out, product.out, preference, 1, &result, &count),
        "cublasLtMatmulAlgoGetHeuristic");
  cublasLtMatmulPreferenceDestroy(preference);
  if (count == 0) {
    fail_check(__FILE__, __LINE__,
               str("cuBLASLt has no algorithm for ", weight.name, ": ", out.rows, " x ", out.cols,
                   " x ", x.cols));
  }
  product.algorithm = result.algo;
  return products.emplace(shape, product).first->second;
}

DenseGemm::DenseGemm(void* workspace, size_t workspace_bytes) : state_(std::make_unique<State>()) {
  check(cublasLtCreate(&state_->handle), "cublasLtCreate");
  state_->workspace = workspace;
  state_->workspace_bytes = workspace_bytes;
}

DenseGemm::~DenseGemm() {
  for (auto& [shape, product] : state_->products) {
    cublasLtMatmulDescDestroy(product.operation);
    cublasLtMatrixLayoutDestroy(product.weight);
    cublasLtMatrixLayoutDestroy(product.x);
    cublasLtMatrixLayoutDestroy(product.out);
  }
  cublasLtDestroy(state_->handle);
}

bool DenseGemm::fits(TensorView out, TensorView x) {
  const auto aligned = [](const TensorView& view) {
    return view.row_stride * static_cast<int64_t>(size_of(view.dtype)) % 16 == 0 &&
           reinterpret_cast<uintptr_t>(view.data) % 16 == 0;
  };
  return aligned(out) && aligned(x) && x.cols % 8 == 0;
}

void DenseGemm::run(TensorView out, TensorView x, const Weight& weight, cudaStream_t stream) {
  SLUICE_CHECK(x.dtype == weight.dtype);
  const Product& product = state_->find(out, x, weight);
  const float one = 1, zero = 0;
  check(
      cublasLtMatmul(state_->handle, product.operation, &one, weight.storage.data(), product.weight,
                     x.data, product.x, &zero, out.data, product.out, out.data, product.out,
                     &product.algorithm, state_->workspace, state_->workspace_bytes, stream),
      "cublasLtMatmul");
}

}  // namespace sluice::cuda
