// Tensors for tests, on any backend: host values in double beside device memory.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/tolerances.h"

namespace sluice {

// A rows x cols tensor in the backend's memory, rows `stride` elements apart, with guard elements
// behind every row: check_guards fails when an op wrote outside the view.
class DeviceTensor {
 public:
  DeviceTensor(Backend& backend, DType dtype, int64_t rows, int64_t cols, int64_t padding = 0);

  TensorView view() const { return {storage_.data(), dtype_, rows_, cols_, cols_ + padding_}; }
  void set(const std::vector<double>& values);  // [rows * cols]; rounds to the dtype
  std::vector<double> get() const;              // [rows * cols]
  std::vector<std::byte> bytes() const;         // of everything, for bit comparisons
  std::vector<std::byte> dense_bytes() const;   // of the view's elements alone
  void check_guards() const;

 private:
  Backend& backend_;
  DType dtype_;
  int64_t rows_, cols_, padding_;
  Buffer storage_;
};

// Uniform in [-1, 1], rounded to `dtype` so that reference and backend start from equal numbers.
std::vector<double> random_values(int64_t count, DType dtype, std::mt19937& rng);
double rounded(double x, DType dtype);

// The first `count` of every row's `cols` values.
std::vector<double> left_columns(const std::vector<double>& values, int64_t cols, int64_t count);

// A weight of the values (already rounded), and one f32 row on the device.
Weight make_weight(Backend& backend, const std::vector<double>& values, int64_t rows, int64_t cols,
                   DType dtype);

// Device copy of a host array.
template <typename T>
Buffer upload(Backend& backend, const std::vector<T>& values) {
  Buffer buffer = backend.allocate(values.size() * sizeof(T) + 1, Memory::kDevice).value();
  backend.copy(buffer.data(), values.data(), values.size() * sizeof(T));
  backend.synchronize();
  return buffer;
}

// The batch's arrays in device memory, which `buffers` keeps alive; `batch` must outlive the view.
RaggedBatchView upload_batch(Backend& backend, const RaggedBatch& batch,
                             std::vector<Buffer>& buffers);

// EXPECTs every element within tolerance; names the worst.
void expect_close(const std::vector<double>& got, const std::vector<double>& want,
                  Tolerance tolerance);

inline const char* short_name(DType dtype) { return dtype == DType::kF32 ? "f32" : "bf16"; }

}  // namespace sluice
