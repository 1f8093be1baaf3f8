// Fences: numbered marks in a stream, by a few events in turns.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

#include "kernels/cuda/cuda_check.h"

namespace sluice::cuda {

// Marks are numbered 1, 2, ... in the order of the stream. The event of an old mark belongs to a
// later one by now: waiting for it waits for that one.
class Fences {
 public:
  explicit Fences(cudaStream_t stream) : stream_(stream) {
    for (cudaEvent_t& event : events_)
      SLUICE_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  ~Fences() {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Fences(const Fences&) = delete;
  Fences& operator=(const Fences&) = delete;

  uint64_t record() {
    ++last_;
    SLUICE_CUDA_CHECK(cudaEventRecord(event_of(last_), stream_));
    return last_;
  }
  // The number that the next record() returns: everything enqueued by now lies before it.
  uint64_t next() const { return last_ + 1; }
  // Waits for mark `number`, which is made now if it does not exist yet. 0: for nothing.
  void wait(uint64_t number) {
    if (number > last_) number = record();
    if (number > 0) SLUICE_CUDA_CHECK(cudaEventSynchronize(event_of(number)));
  }

 private:
  cudaEvent_t event_of(uint64_t number) const { return events_[number % events_.size()]; }

  cudaStream_t stream_;
  std::array<cudaEvent_t, 4> events_{};
  uint64_t last_ = 0;
};

}  // namespace sluice::cuda
