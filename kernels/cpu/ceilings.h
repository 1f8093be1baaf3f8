// What this machine's cores do at best, measured: Backend::measure_ceilings of the CPU.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {

// Sums over the pool's threads, which run side by side; each one's seconds are its own CPU time, so
// that other load on the machine disturbs little. Memory is of the kind that weights get.
Result<Ceilings> measure_cpu_ceilings(HostMemory& host, ThreadPool& pool);

}  // namespace sluice
