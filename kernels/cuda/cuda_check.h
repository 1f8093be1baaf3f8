// Every CUDA call is wrapped: a failure throws InternalError with the call and CUDA's own words. A
// CUDA error is sticky; the engine treats one as the end of the device.
#pragma once

#include <cuda_runtime_api.h>

#include "base/check.h"
#include "base/text.h"

namespace sluice::cuda {

inline void check_call(cudaError_t error, const char* call, const char* file, int line) {
  if (error != cudaSuccess) {
    fail_check(file, line,
               str(call, ": ", cudaGetErrorName(error), ", ", cudaGetErrorString(error)));
  }
}

}  // namespace sluice::cuda

#define SLUICE_CUDA_CHECK(call) ::sluice::cuda::check_call((call), #call, __FILE__, __LINE__)
// After a launch: catches a wrong configuration at once, never synchronises.
#define SLUICE_CUDA_CHECK_LAUNCH() SLUICE_CUDA_CHECK(cudaGetLastError())
