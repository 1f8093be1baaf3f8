// The file of choices:
//
//   sluice gemm choices 1, NVIDIA H100 80GB HBM3, 132 SMs, cuBLASLt 130002
//   16 6144 4096 bfloat16 bfloat16 ring 128 4 6
//   128 6144 4096 bfloat16 bfloat16 dense 1f 0 ...
//   checksum 9c5de7a1b2c3d4e5
#include "kernels/cuda/gemm/choices.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/mix.h"
#include "base/text.h"

namespace sluice::cuda {
namespace {

constexpr std::string_view kFormat = "sluice gemm choices 1";
constexpr size_t kMaxFileBytes = size_t{1} << 20;

std::string first_line(std::string_view machine) { return str(kFormat, ", ", machine, "\n"); }

uint64_t checksum(std::string_view text) {
  uint64_t sum = 0;
  for (const char c : text) sum = mix64(sum + kGoldenGamma + static_cast<uint8_t>(c));
  return sum;
}

std::string last_line(std::string_view text) {
  return str("checksum ", std::hex, checksum(text), "\n");
}

std::optional<DType> dtype_of(const std::string& name) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (name == name_of(dtype)) return dtype;
  }
  return std::nullopt;
}

bool read_choice(std::istream& from, int64_t rows, GemmChoice& choice) {
  std::string kind;
  if (!(from >> kind)) return false;
  if (kind == "ring") {
    RingCut cut;
    if (!(from >> cut.tile_rows >> cut.slices >> cut.stages)) return false;
    choice = cut;
    return rows <= kRingRows && RingGemm::valid(cut, rows);
  }
  if (kind != "dense") return false;
  DenseAlgorithm algorithm;
  from >> std::hex;
  for (uint64_t& word : algorithm.words) {
    if (!(from >> word)) return false;
  }
  choice = algorithm;
  return true;
}

bool read_line(const std::string& line, GemmShape& shape, GemmChoice& choice) {
  std::istringstream from(line);
  std::string in, out, rest;
  if (!(from >> shape.row_bucket >> shape.weight_rows >> shape.cols >> in >> out)) return false;
  const std::optional<DType> from_dtype = dtype_of(in), to_dtype = dtype_of(out);
  if (!from_dtype || !to_dtype || shape.row_bucket != row_bucket(shape.row_bucket)) return false;
  shape.in = *from_dtype;
  shape.out = *to_dtype;
  return read_choice(from, shape.row_bucket, choice) && !(from >> rest);
}

}  // namespace

int64_t row_bucket(int64_t rows) {
  return std::max(kSmallestBucket,
                  static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))));
}

const GemmChoice* GemmChoices::find(const GemmShape& shape) const {
  const auto found = choices_.find(shape);
  return found == choices_.end() ? nullptr : &found->second;
}

bool GemmChoices::add(const GemmShape& shape, const GemmChoice& choice) {
  if (choices_.size() >= kMaxChoices && !choices_.contains(shape)) return false;
  choices_[shape] = choice;
  return true;
}

std::string GemmChoices::text(std::string_view machine) const {
  std::ostringstream out;
  out << first_line(machine);
  for (const auto& [shape, choice] : choices_) {
    out << shape.row_bucket << ' ' << shape.weight_rows << ' ' << shape.cols << ' '
        << name_of(shape.in) << ' ' << name_of(shape.out);
    if (const auto* cut = std::get_if<RingCut>(&choice)) {
      out << " ring " << cut->tile_rows << ' ' << cut->slices << ' ' << cut->stages;
    } else {
      out << " dense" << std::hex;
      for (const uint64_t word : std::get<DenseAlgorithm>(choice).words) out << ' ' << word;
      out << std::dec;
    }
    out << '\n';
  }
  return out.str() + last_line(out.str());
}

Result<GemmChoices> GemmChoices::parse(std::string_view text, std::string_view machine) {
  const std::string first = first_line(machine);
  if (!text.starts_with(first)) return invalid_argument(str("is not of: ", first_line(machine)));
  const size_t last = text.rfind('\n', text.size() - 2) + 1;
  if (last < first.size() || text.substr(last) != last_line(text.substr(0, last)))
    return invalid_argument("is damaged: its checksum is wrong");
  GemmChoices choices;
  std::istringstream lines{std::string(text.substr(first.size(), last - first.size()))};
  for (std::string line; std::getline(lines, line);) {
    GemmShape shape;
    GemmChoice choice;
    if (!read_line(line, shape, choice)) return invalid_argument(str("has no choice in: ", line));
    if (!choices.add(shape, choice))
      return invalid_argument(str("has more than ", kMaxChoices, " choices"));
  }
  return choices;
}

Result<GemmChoices> read_choices(const std::string& path, std::string_view machine) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(StatusCode::kNotFound, str(path, ": no such file"), path);
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes)
    return invalid_argument(str(path, " is larger than ", kMaxFileBytes, " bytes"), path);
  Result<GemmChoices> choices = GemmChoices::parse(text, machine);
  if (choices.ok()) return choices;
  return invalid_argument(str(path, " ", choices.status().message()), path);
}

Status write_choices(const std::string& path, std::string_view machine,
                     const GemmChoices& choices) {
  const auto failed = [&](std::string_view what) {
    return Status(StatusCode::kUnavailable, str(path, ": ", what), path);
  };
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return failed(error.message());
  const std::string beside = str(path, ".", getpid());
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  file << choices.text(machine);
  file.close();
  if (file) std::filesystem::rename(beside, path, error);
  if (file && !error) return {};
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  return failed(error ? error.message() : "cannot be written");
}

}  // namespace sluice::cuda
