// TensorView borrows, Buffer owns, Weight owns a matrix in the backend's own arrangement.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/types.h"

namespace sluice {

// Borrows `rows` rows of `cols` elements; rows may lie `row_stride` elements apart. A vector is one
// row. Everything a decoder computes on is a matrix of tokens x features, so there is no higher
// rank.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements

  static TensorView dense(void* data, DType dtype, int64_t rows, int64_t cols) {
    return {data, dtype, rows, cols, cols};
  }
  void* row_ptr(int64_t row) const {
    return static_cast<std::byte*>(data) + static_cast<size_t>(row * row_stride) * size_of(dtype);
  }
  // Columns [first, first + count) of every row.
  TensorView columns(int64_t first, int64_t count) const {
    SLUICE_CHECK_LE(first + count, cols);
    return {static_cast<std::byte*>(data) + static_cast<size_t>(first) * size_of(dtype), dtype,
            rows, count, row_stride};
  }
  // Rows [first, first + count).
  TensorView row_range(int64_t first, int64_t count) const {
    SLUICE_CHECK_LE(first + count, rows);
    return {row_ptr(first), dtype, count, cols, row_stride};
  }
  // The first `count` rows.
  TensorView head(int64_t count) const {
    SLUICE_CHECK_LE(count, rows);
    return {data, dtype, count, cols, row_stride};
  }
  // Typed row, for host memory; CHECKs nothing.
  template <typename T>
  T* row(int64_t index) const {
    return static_cast<T*>(row_ptr(index));
  }
};

// The rows x that a product takes. Where `squares` has data, each still lacks a factor that the
// product can as well apply to its sums:
//
//   x[t, :] = values[t, :] / sqrt(sum_i squares[t, i] / cols + eps)
//
// Without, x = values. Backend::gemm_add_rms_norm makes the former, a TensorView is the latter.
struct ProductInput {
  TensorView values;
  TensorView squares;  // [rows, n] f32
  float eps = 0;

  ProductInput(TensorView x)
      : values(x) {}  // NOLINT(google-explicit-constructor): rows as they are
  ProductInput(TensorView v, TensorView s, float e) : values(v), squares(s), eps(e) {}

  bool is_complete() const { return squares.data == nullptr; }
  ProductInput row_range(int64_t first, int64_t count) const {
    if (is_complete()) return values.row_range(first, count);
    return {values.row_range(first, count), squares.row_range(first, count), eps};
  }
};

// Where memory lives. kHost is ordinary memory that the device can copy from and to at full speed,
// and that its ops can write (pinned).
enum class Memory : uint8_t { kDevice, kHost };

// Move-only owner of a Backend's allocation, 64-byte aligned at least. Must not outlive its
// Backend.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, std::function<void(void*)> release)
      : data_(data), bytes_(bytes), release_(std::move(release)) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    reset();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    release_ = std::move(other.release_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { reset(); }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void reset() {
    if (data_ != nullptr) release_(data_);
    data_ = nullptr;
  }
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::function<void(void*)> release_;
};

// A parameter, [rows, cols] as in the checkpoint ([out, in] for a linear layer), arranged as the
// backend that made it likes best. Only that backend's gemm, embed and copy_weight_to_host read it.
struct Weight {
  std::string name;
  DType dtype = DType::kBF16;
  int64_t rows = 0;
  int64_t cols = 0;
  Buffer storage;
};

}  // namespace sluice
