#include "tests/kernels/backends.h"

#include <iostream>

#include "base/text.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/kernel_table.h"
#include "tests/kernels/tensors.h"

namespace sluice {
namespace {

struct Owned {
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<BackendCase> cases;

  void add(std::string name, std::unique_ptr<Backend> backend) {
    cases.push_back({std::move(name), backend.get()});
    backends.push_back(std::move(backend));
  }
};

Owned make_all() {
  Owned all;
  for (const DType activations : {DType::kF32, DType::kBF16}) {
    const std::string suffix = str("_", short_name(activations), "_activations");
    for (const KernelTable* table : cpu_kernel_tables()) {
      all.add(str("cpu_", table->name, suffix),
              make_cpu_backend(1, table->name, activations).value());
    }
#ifdef SLUICE_WITH_CUDA
    Result<std::unique_ptr<Backend>> cuda = make_cuda_backend(activations);
    if (cuda.ok()) {
      all.add(str("cuda", suffix), std::move(cuda).value());
    } else {
      std::cerr << "kernels_test: SKIPPED on CUDA: " << cuda.status().message() << "\n";
    }
#endif
  }
#ifdef SLUICE_WITH_CUDA
  Result<std::unique_ptr<Backend>> portable =
      make_cuda_backend(kCudaActivations, /*cache_dir=*/{}, CudaAttention::kPortable);
  if (portable.ok()) all.add("cuda_portable_attention", std::move(portable).value());
#endif
  all.add("cpu_3_threads", make_cpu_backend(3));
  return all;
}

}  // namespace

const std::vector<BackendCase>& backend_cases() {
  static const Owned all = make_all();
  return all.cases;
}

}  // namespace sluice
