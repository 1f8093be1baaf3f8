// Scratch: 64-byte aligned working memory that grows to the largest size asked for and stays.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/types.h"

namespace sluice {

class Scratch {
 public:
  // At least `bytes`, uninitialised; what an earlier call returned is gone. Allocates only when a
  // call is larger than all before it: the first steps of the largest shape are the start-up.
  std::byte* get(size_t bytes) {
    if (bytes > bytes_) {
      bytes_ = static_cast<size_t>(round_up(static_cast<int64_t>(bytes), 64));
      data_.reset();
      data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes_)));
      if (data_ == nullptr) throw std::bad_alloc();
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace sluice
