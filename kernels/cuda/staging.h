// Staging: small arrays gathered in pinned memory and moved to the device in one copy.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/fences.h"

namespace sluice::cuda {

// A pinned buffer and two device twins in turns, so that one is filled while the ops of the step
// before read the other. Between begin() and upload() at most kMaxArrays arrays are added, of so
// many bytes in all as create() was told.
class Staging {
 public:
  static Result<std::unique_ptr<Staging>> create(Backend& backend, Fences& fences, int64_t bytes) {
    const auto size = static_cast<size_t>(bytes + kMaxArrays * kAlignment);
    Result<Buffer> host = backend.allocate(size, Memory::kHost);
    if (!host.ok()) return host.status();
    std::unique_ptr<Staging> made(new Staging(backend, fences, std::move(host).value()));
    for (Twin& twin : made->twins_) {
      Result<Buffer> device = backend.allocate(size, Memory::kDevice);
      if (!device.ok()) return device.status();
      twin.device = std::move(device).value();
    }
    return made;
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
    const Room<T> room = make_room<T>(values.size());
    if (!values.empty()) std::memcpy(room.host, values.data(), values.size() * sizeof(T));
    return room.device;
  }
  // Room for an array that the caller fills before upload().
  template <typename T>
  struct Room {
    T* host = nullptr;
    const T* device = nullptr;
  };
  template <typename T>
  Room<T> make_room(size_t count) {
    const size_t offset = used_;
    used_ += static_cast<size_t>(round_up(static_cast<int64_t>(count * sizeof(T)), kAlignment));
    if (used_ > host_.bytes())
      fail_check(__FILE__, __LINE__, str("staging of ", host_.bytes(), " bytes is full"));
    return {reinterpret_cast<T*>(host_.as<std::byte>() + offset),
            reinterpret_cast<const T*>(twin().device.template as<std::byte>() + offset)};
  }
  void upload() {
    backend_.upload(twin().device.data(), host_.data(), used_);
    touch();
  }
  // To be called when ops that read the current twin are about to be enqueued later than that.
  void touch() { twin().last_use = fences_.next(); }

 private:
  static constexpr int64_t kAlignment = 16;
  static constexpr int64_t kMaxArrays = 64;

  Staging(Backend& backend, Fences& fences, Buffer host)
      : backend_(backend), fences_(fences), host_(std::move(host)) {}

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
