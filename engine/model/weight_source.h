// WeightSource: where a model's parameters come from: safetensors, a GGUF file, or a seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace sluice {

// Rows [first, first + count) of a tensor.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
};

// One tensor of the checkpoint: its name and its rows; all parts of a matrix share the columns.
struct WeightPart {
  std::string name;
  int64_t rows = 0;
  std::vector<RowRange> order{};  // of its rows in the matrix; empty: as they are

  // Appends the tensor's rows, in `order`.
  void add_views(const TensorView& whole, std::vector<TensorView>& views) const {
    if (order.empty()) views.push_back(whole);
    for (const RowRange& range : order)
      views.push_back(
          {whole.row_ptr(range.first), whole.dtype, range.count, whole.cols, whole.row_stride});
  }
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // The parts stacked along rows, [sum of rows, cols].
  virtual Result<Weight> matrix(const std::vector<WeightPart>& parts, int64_t cols) = 0;
  // The weights of a norm, or a bias, into out [size] f32.
  virtual Status vector(const std::string& name, int64_t size, float* out) = 0;
  // Names in one line of the log what nobody asked for; silent when there is nothing.
  virtual void warn_about_unused() const {}
};

// "[2, 3]", for messages.
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace sluice
