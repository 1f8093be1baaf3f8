#include "tests/kernels/backends.h"

#include <iostream>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/kernel_table.h"

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
  for (const KernelTable* table : cpu_kernel_tables())
    all.add(std::string("cpu_") + table->name, make_cpu_backend(1, table->name).value());
  all.add("cpu_3_threads", make_cpu_backend(3));
#ifdef SLUICE_WITH_CUDA
  Result<std::unique_ptr<Backend>> cuda = make_cuda_backend();
  if (cuda.ok()) {
    all.add("cuda", std::move(cuda).value());
  } else {
    std::cerr << "kernels_test: SKIPPED on CUDA: " << cuda.status().message() << "\n";
  }
#endif
  return all;
}

}  // namespace

const std::vector<BackendCase>& backend_cases() {
  static const Owned all = make_all();
  return all.cases;
}

}  // namespace sluice
