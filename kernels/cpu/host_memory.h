// HostMemory: the CPU backend's allocations. Weights are streamed once a step, so they lie in huge
// pages: where a matrix ends amid 4 KB pages, hardware prefetching stops and the TLB misses at
// every page, which costs a third of the bandwidth.
//
//   slab, of huge pages: | buffer | buffer | buffer       | free ...    |
//
// A slab is freed with its last buffer.
#pragma once

#include <memory>

#include "base/status.h"
#include "kernels/tensor.h"

namespace sluice {

// Not thread-safe; the buffers may outlive it and be released on any one thread at a time.
class HostMemory {
 public:
  // Uninitialised, 64-byte aligned. Fails with kResourceExhausted, naming the size.
  Result<Buffer> allocate(size_t bytes);

  // Fills with zeros what allocate() gave. Whole pages go back to the kernel: they read as zeros
  // and take memory and time when they are first written, so a large cache costs nothing at
  // start-up.
  static void zero(void* data, size_t bytes);

  static int64_t bytes_total();
  static int64_t bytes_available();  // without swapping

 private:
  std::shared_ptr<std::byte> slab_;  // buffers share it
  size_t slab_bytes_ = 0;
  size_t used_ = 0;
};

}  // namespace sluice
