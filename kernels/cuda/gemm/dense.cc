// Row-major out[T, N] = x[T, K] W[N, K]^T is, column-major, out^T[N, T] = W^T-transposed x^T: both
// operands are read along K, the layout that the tensor cores like best.
#include "kernels/cuda/gemm/dense.h"

#include <cublasLt.h>

#include <bit>

#include "base/check.h"
#include "base/text.h"

namespace sluice::cuda {
namespace {

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(DenseAlgorithm));

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    fail_check(__FILE__, __LINE__, str(call, ": cuBLAS status ", static_cast<int>(status)));
  }
}

cudaDataType_t cuda_type(DType dtype) {
  SLUICE_CHECK(dtype != DType::kF16);
  return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

// The descriptors of one product: plain memory, cheap to make anew each time.
struct Product {
  cublasLtMatmulDescOpaque_t operation{};
  cublasLtMatrixLayoutOpaque_t weight{}, x{}, out{};

  Product(const TensorView& to, const TensorView& from, const Weight& w) {
    check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescInit");
    const cublasOperation_t transpose = CUBLAS_OP_T;
    check(cublasLtMatmulDescSetAttribute(&operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                         sizeof(transpose)),
          "cublasLtMatmulDescSetAttribute");
    init(weight, w.dtype, w.cols, w.rows, w.cols);
    init(x, from.dtype, from.cols, from.rows, from.row_stride);
    init(out, to.dtype, to.cols, to.rows, to.row_stride);
  }

 private:
  static void init(cublasLtMatrixLayoutOpaque_t& layout, DType dtype, int64_t rows, int64_t cols,
                   int64_t stride) {
    check(cublasLtMatrixLayoutInit(&layout, cuda_type(dtype), static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(cols), stride),
          "cublasLtMatrixLayoutInit");
  }
};

}  // namespace

struct DenseGemm::State {
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
};

DenseGemm::DenseGemm(void* workspace, size_t workspace_bytes) : state_(std::make_unique<State>()) {
  check(cublasLtCreate(&state_->handle), "cublasLtCreate");
  state_->workspace = workspace;
  state_->workspace_bytes = workspace_bytes;
}

DenseGemm::~DenseGemm() { cublasLtDestroy(state_->handle); }

bool DenseGemm::fits(TensorView out, TensorView x) {
  const auto aligned = [](const TensorView& view) {
    return view.row_stride * static_cast<int64_t>(size_of(view.dtype)) % 16 == 0 &&
           reinterpret_cast<uintptr_t>(view.data) % 16 == 0;
  };
  return aligned(out) && aligned(x) && x.cols % 8 == 0;
}

size_t DenseGemm::version() { return cublasLtGetVersion(); }

std::vector<DenseAlgorithm> DenseGemm::guesses(TensorView out, TensorView x, const Weight& weight,
                                               int most) const {
  Product product(out, x, weight);
  cublasLtMatmulPreferenceOpaque_t preference{};
  check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
  check(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &state_->workspace_bytes,
                                             sizeof(state_->workspace_bytes)),
        "cublasLtMatmulPreferenceSetAttribute");
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(state_->handle, &product.operation, &product.weight,
                                       &product.x, &product.out, &product.out, &preference, most,
                                       results.data(), &count),
        "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0) {
    fail_check(__FILE__, __LINE__,
               str("cuBLASLt has no algorithm for ", weight.name, ": ", out.rows, " x ", out.cols,
                   " x ", x.cols));
  }
  std::vector<DenseAlgorithm> found;
  for (int i = 0; i < count; ++i)
    found.push_back(std::bit_cast<DenseAlgorithm>(results[static_cast<size_t>(i)].algo));
  return found;
}

bool DenseGemm::takes(const DenseAlgorithm& algorithm, TensorView out, TensorView x,
                      const Weight& weight) const {
  Product product(out, x, weight);
  const auto algo = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm);
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(state_->handle, &product.operation, &product.weight, &product.x,
                                 &product.out, &product.out, &algo,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= state_->workspace_bytes;
}

bool DenseGemm::run(TensorView out, TensorView x, const Weight& weight,
                    const DenseAlgorithm& algorithm, cudaStream_t stream) const {
  SLUICE_CHECK(x.dtype == weight.dtype);
  Product product(out, x, weight);
  const auto algo = std::bit_cast<cublasLtMatmulAlgo_t>(algorithm);
  const float one = 1, zero = 0;
  const cublasStatus_t status =
      cublasLtMatmul(state_->handle, &product.operation, &one, weight.storage.data(),
                     &product.weight, x.data, &product.x, &zero, out.data, &product.out, out.data,
                     &product.out, &algo, state_->workspace, state_->workspace_bytes, stream);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  check(status, "cublasLtMatmul");
  return true;
}

}  // namespace sluice::cuda
