// Staging: small arrays gathered in pinned memory and moved to (or from) the device in one copy.
#pragma once

#include <cuda_runtime_api.h>

#include <cstring>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_check.h"

namespace sluice::cuda {

// A pinned buffer and its device twin, filled by add/reserve between begin() and
// upload()/download(). begin() waits until the previous copy is done, so the host side may be
// overwritten. kBytes bounds what one step adds.
class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    if (done_ != nullptr) cudaEventDestroy(done_);
  }

  void attach(Backend& backend, cudaStream_t stream) {
    stream_ = stream;
    SLUICE_CUDA_CHECK(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming));
    host_ = backend.allocate(kBytes, Memory::kHost).value();
    device_ = backend.allocate(kBytes, Memory::kDevice).value();
  }

  void begin() {
    SLUICE_CUDA_CHECK(cudaEventSynchronize(done_));
    used_ = 0;
  }
  // Device address of a copy of `values`, valid after upload().
  template <typename T>
  const T* add(const std::vector<T>& values) {
    T* device = reserve<T>(values.size());
    if (!values.empty()) std::memcpy(host(device), values.data(), values.size() * sizeof(T));
    return device;
  }
  // Device address of room for `count` values.
  template <typename T>
  T* reserve(size_t count) {
    const size_t offset = used_;
    used_ += static_cast<size_t>(round_up(static_cast<int64_t>(count * sizeof(T)), kAlignment));
    if (used_ > host_.bytes())
      fail_check(__FILE__, __LINE__, str("staging of ", host_.bytes(), " bytes is full"));
    return reinterpret_cast<T*>(device_.as<std::byte>() + offset);
  }
  // The pinned twin of a device address.
  template <typename T>
  T* host(T* device) const {
    return reinterpret_cast<T*>(host_.as<std::byte>() +
                                (reinterpret_cast<std::byte*>(device) - device_.as<std::byte>()));
  }
  void upload() { move(device_.data(), host_.data()); }
  void download() { move(host_.data(), device_.data()); }

 private:
  static constexpr size_t kBytes = size_t{16} << 20;
  static constexpr int64_t kAlignment = 16;

  void move(void* to, const void* from) {
    if (used_ > 0) SLUICE_CUDA_CHECK(cudaMemcpyAsync(to, from, used_, cudaMemcpyDefault, stream_));
    SLUICE_CUDA_CHECK(cudaEventRecord(done_, stream_));
  }

  cudaStream_t stream_ = nullptr;
  cudaEvent_t done_ = nullptr;
  Buffer host_;
  Buffer device_;
  size_t used_ = 0;
};

}  // namespace sluice::cuda
