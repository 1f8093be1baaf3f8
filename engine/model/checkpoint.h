// Checkpoint: the named tensors of a model directory's safetensors files, mapped read-only.
//
// One file (model.safetensors) or several that model.safetensors.index.json lists.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/model/safetensors.h"

namespace sluice {

// A read-only mapping of one file; unmapped by the destructor.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Tells the kernel that these bytes are not needed again: they no longer count as resident.
  void drop(std::span<const std::byte> part) const;

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Thread-compatible; views stay valid as long as it lives.
class Checkpoint {
 public:
  // A tensor of the checkpoint: its entry, its bytes, the path of its file.
  struct Tensor {
    TensorEntry entry;
    std::span<const std::byte> bytes;
    size_t file = 0;
  };

  static Result<Checkpoint> open(const std::string& dir);

  const Tensor* find(const std::string& name) const;  // null: there is none
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::string& path_of(const Tensor& tensor) const { return paths_[tensor.file]; }
  // Gives back the memory of a tensor whose values have been copied.
  void drop(const Tensor& tensor) const { files_[tensor.file].drop(tensor.bytes); }

 private:
  Status add_file(const std::string& path);

  std::vector<std::string> paths_;
  std::vector<MappedFile> files_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace sluice
