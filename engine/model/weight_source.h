// WeightSource: where a model's parameters come from: safetensors, a GGUF file, or a seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"

namespace sluice {

// One tensor of the checkpoint: its name and its rows; all parts of a matrix share the columns.
struct WeightPart {
  std::string name;
  int64_t rows = 0;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // The parts stacked along rows, [sum of rows, cols].
  virtual Result<Weight> matrix(const std::vector<WeightPart>& parts, int64_t cols) = 0;
  // A norm's weights into out [size] f32.
  virtual Status vector(const std::string& name, int64_t size, float* out) = 0;
  // Names in one line of the log what nobody asked for; silent when there is nothing.
  virtual void warn_about_unused() const {}
};

// "[2, 3]", for messages.
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace sluice
