#include "tests/kernels/tensors.h"

#include <cstring>

namespace sluice {
namespace {

constexpr uint16_t kGuard = 0x7a5b;  // no op writes this by chance twice in a row

}  // namespace

DeviceTensor::DeviceTensor(Backend& backend, DType dtype, int64_t rows, int64_t cols,
                           int64_t padding)
    : backend_(backend), dtype_(dtype), rows_(rows), cols_(cols), padding_(padding) {
  const std::vector<uint16_t> guards(
      static_cast<size_t>(rows * (cols + padding)) * size_of(dtype) / sizeof(uint16_t), kGuard);
  storage_ = upload(backend, guards);
}

std::vector<std::byte> DeviceTensor::bytes() const {
  std::vector<std::byte> all(static_cast<size_t>(rows_ * (cols_ + padding_)) * size_of(dtype_));
  backend_.copy(all.data(), storage_.data(), all.size());
  backend_.synchronize();
  return all;
}

void DeviceTensor::set(const std::vector<double>& values) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), rows_ * cols_);
  std::vector<std::byte> all = bytes();
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < cols_; ++c) {
      const auto value = static_cast<float>(values[static_cast<size_t>(r * cols_ + c)]);
      std::byte* to =
          all.data() + static_cast<size_t>(r * (cols_ + padding_) + c) * size_of(dtype_);
      if (dtype_ == DType::kF32) {
        std::memcpy(to, &value, sizeof(value));
      } else {
        const BF16 narrow = to_bf16(value);
        std::memcpy(to, &narrow, sizeof(narrow));
      }
    }
  }
  backend_.copy(storage_.data(), all.data(), all.size());
  backend_.synchronize();
}

std::vector<double> DeviceTensor::get() const {
  const std::vector<std::byte> all = bytes();
  std::vector<double> values;
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < cols_; ++c) {
      const std::byte* from =
          all.data() + static_cast<size_t>(r * (cols_ + padding_) + c) * size_of(dtype_);
      float value = 0;
      BF16 narrow;
      if (dtype_ == DType::kF32) {
        std::memcpy(&value, from, sizeof(value));
      } else {
        std::memcpy(&narrow, from, sizeof(narrow));
        value = to_float(narrow);
      }
      values.push_back(value);
    }
  }
  return values;
}

std::vector<std::byte> DeviceTensor::dense_bytes() const {
  const std::vector<std::byte> all = bytes();
  const auto row_bytes = static_cast<int64_t>(static_cast<size_t>(cols_) * size_of(dtype_));
  const auto stride_bytes =
      static_cast<int64_t>(static_cast<size_t>(cols_ + padding_) * size_of(dtype_));
  std::vector<std::byte> dense;
  for (int64_t r = 0; r < rows_; ++r) {
    const auto row = all.begin() + r * stride_bytes;
    dense.insert(dense.end(), row, row + row_bytes);
  }
  return dense;
}

void DeviceTensor::check_guards() const {
  const std::vector<std::byte> all = bytes();
  const size_t row_bytes = static_cast<size_t>(cols_ + padding_) * size_of(dtype_);
  for (int64_t r = 0; r < rows_; ++r) {
    const size_t begin = static_cast<size_t>(r) * row_bytes;
    for (size_t at = begin + static_cast<size_t>(cols_) * size_of(dtype_); at < begin + row_bytes;
         at += sizeof(kGuard)) {
      ASSERT_EQ(std::memcmp(all.data() + at, &kGuard, sizeof(kGuard)), 0)
          << "row " << r << " was written past its end";
    }
  }
}

double rounded(double x, DType dtype) {
  const auto f = static_cast<float>(x);
  return dtype == DType::kF32 ? f : to_float(to_bf16(f));
}

std::vector<double> random_values(int64_t count, DType dtype, std::mt19937& rng) {
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = rounded(uniform(rng), dtype);
  return values;
}

std::vector<double> left_columns(const std::vector<double>& values, int64_t cols, int64_t count) {
  std::vector<double> left;
  for (auto row = values.begin(); row != values.end(); row += cols)
    left.insert(left.end(), row, row + count);
  return left;
}

Weight make_weight(Backend& backend, const std::vector<double>& values, int64_t rows, int64_t cols,
                   DType dtype) {
  std::vector<float> host(values.begin(), values.end());
  const TensorView part = TensorView::dense(host.data(), DType::kF32, rows, cols);
  return backend.load_weight("test", {&part, 1}, dtype).value();
}

RaggedBatchView upload_batch(Backend& backend, const RaggedBatch& batch,
                             std::vector<Buffer>& buffers) {
  const auto put = [&](const std::vector<int32_t>& values) {
    buffers.push_back(upload(backend, values));
    return buffers.back().as<int32_t>();
  };
  RaggedBatchView view = RaggedBatchView::of(batch);
  view.token_ids = put(batch.token_ids);
  view.positions = put(batch.positions);
  view.q_indptr = put(batch.q_indptr);
  view.kv_lens = put(batch.kv_lens);
  view.block_indptr = put(batch.block_indptr);
  view.blocks = put(batch.blocks);
  return view;
}

void expect_close(const std::vector<double>& got, const std::vector<double>& want,
                  Tolerance tolerance) {
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double allowed = tolerance.relative * std::fabs(want[i]) + tolerance.absolute;
    const double excess = std::fabs(got[i] - want[i]) / allowed;
    if (!(excess <= worst)) {
      worst = excess;
      at = i;
    }
    if (std::isnan(excess)) break;
  }
  if (got.empty()) return;
  EXPECT_LE(worst, 1) << "element " << at << " of " << got.size() << ": got " << got[at]
                      << ", want " << want[at];
}

}  // namespace sluice
