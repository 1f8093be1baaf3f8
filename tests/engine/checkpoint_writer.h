// Writes small checkpoints into a temporary directory, for tests.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/types.h"

namespace sluice {

// A fresh directory, removed with everything in it by the destructor.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  void write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

struct SourceTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using SourceTensors = std::map<std::string, SourceTensor>;

// 8 bytes of length, the header as given, then data_bytes zero bytes: for headers that lie.
std::string raw_safetensors(const std::string& header, size_t data_bytes);
// A valid file of these tensors; `misalign` pads the header so that data starts at an odd offset.
std::string safetensors(const SourceTensors& tensors, DType dtype, bool misalign = false);

// A random two-layer Llama with a tied or an untied head. All values are multiples of 1/64 in
// [-1/4, 1/4], exact in every type.
std::string tiny_config(bool tied);
SourceTensors tiny_tensors(bool tied, uint64_t seed);
// Writes config.json and model.safetensors.
void write_tiny_model(const TempDir& dir, DType dtype, bool tied = true, bool misalign = false);
// Writes config.json, two files and their index.
void write_sharded_tiny_model(const TempDir& dir, DType dtype);

}  // namespace sluice
