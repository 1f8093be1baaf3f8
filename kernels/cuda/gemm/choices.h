// Which kernel computes which product, as data: chosen once, kept between starts in a text file.
#pragma once

#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "kernels/cuda/gemm/dense.h"
#include "kernels/cuda/gemm/ring.h"

namespace sluice::cuda {

// Everything that a choice depends on. Row counts that share a bucket share the choice.
struct GemmShape {
  int64_t row_bucket = 0;
  int64_t weight_rows = 0, cols = 0;
  DType in = DType::kBF16, out = DType::kBF16;

  auto operator<=>(const GemmShape&) const = default;
};

inline constexpr int64_t kSmallestBucket = 16;
// The smallest power of two that is not below `rows`, and at least kSmallestBucket.
int64_t row_bucket(int64_t rows);

using GemmChoice = std::variant<RingCut, DenseAlgorithm>;

// At most kMaxChoices of them: a model has five shapes, times two dtypes, times its row buckets.
class GemmChoices {
 public:
  static constexpr size_t kMaxChoices = 512;

  const GemmChoice* find(const GemmShape& shape) const;
  // False, and nothing changes, where there is no more room.
  bool add(const GemmShape& shape, const GemmChoice& choice);
  size_t size() const { return choices_.size(); }

  // One line a choice, between a line that says for which `machine` they hold and one with a
  // checksum.
  std::string text(std::string_view machine) const;
  // kInvalidArgument, with the reason, for any other text, version or machine.
  static Result<GemmChoices> parse(std::string_view text, std::string_view machine);

 private:
  std::map<GemmShape, GemmChoice> choices_;
};

// kNotFound where there is no file; otherwise as parse().
Result<GemmChoices> read_choices(const std::string& path, std::string_view machine);
// Replaces the file at once or not at all; makes its directory. kUnavailable names the path.
Status write_choices(const std::string& path, std::string_view machine, const GemmChoices& choices);

}  // namespace sluice::cuda
