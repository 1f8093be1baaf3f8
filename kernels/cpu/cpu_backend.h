// The CPU backend beyond make_cpu_backend (kernels/backend.h): which instruction set it runs on.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace sluice {

struct KernelTable;

// Kernel tables that this processor can run, the best first; "generic" is always the last.
std::vector<const KernelTable*> cpu_kernel_tables();

// A CPU backend on the named instruction set: "avx512_bf16", "avx2", "generic", or "" for the best.
// Fails when this processor or this build lacks it.
Result<std::unique_ptr<Backend>> make_cpu_backend(int num_threads, std::string_view isa,
                                                  DType activations = kCpuActivations);

}  // namespace sluice
