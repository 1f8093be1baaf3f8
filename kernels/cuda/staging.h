// Staging: small arrays gathered in pinned memory and moved to the device in one copy.
#pragma once

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/fences.h"

namespace sluice::cuda {

// A pinned buffer and two device twins in turns, so that one is filled while the ops of the step
// before read the other. Between begin() and upload() arrays are added; kBytes bounds them.
class Staging {
 public:
  Staging(Backend& backend, Fences& fences)
      : backend_(backend), fences_(fences), host_(backend.allocate(kBytes, Memory::kHost).value()) {
    for (Twin& twin : twins_) twin.device = backend.allocate(kBytes, Memory::kDevice).value();
  }

  // Waits until nobody reads the older twin any more, and takes it.
  void begin() {
    current_ = 1 - current_;
    fences_.wait(twin().last_use);
    used_ = 0;
  }
  // Device address of a copy of `values`, valid after upload() and until the begin() after the
  // next.
  template <typename T>
  const T* add(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    const size_t offset = used_;
    used_ += static_cast<size_t>(round_up(static_cast<int64_t>(bytes), kAlignment));
    if (used_ > host_.bytes())
      fail_check(__FILE__, __LINE__, str("staging of ", host_.bytes(), " bytes is full"));
    if (!values.empty()) std::memcpy(host_.as<std::byte>() + offset, values.data(), bytes);
    return reinterpret_cast<const T*>(twin().device.template as<std::byte>() + offset);
  }
  void upload() {
    backend_.upload(twin().device.data(), host_.data(), used_);
    touch();
  }
  // To be called when ops that read the current twin are about to be enqueued later than that.
  void touch() { twin().last_use = fences_.next(); }

 private:
  static constexpr size_t kBytes = size_t{16} << 20;
  static constexpr int64_t kAlignment = 16;

  struct Twin {
    Buffer device;
    uint64_t last_use = 0;  // the ops that read it lie before this fence
  };
  Twin& twin() { return twins_[current_]; }

  Backend& backend_;
  Fences& fences_;
  Buffer host_;
  std::array<Twin, 2> twins_;
  size_t current_ = 0;
  size_t used_ = 0;
};

}  // namespace sluice::cuda
