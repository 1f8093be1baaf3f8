// Writes GGUF files, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint_writer.h"

namespace sluice {

class GgufWriter {
 public:
  GgufWriter& integer(const std::string& key, uint32_t value) {
    return pair(key, 4, bytes_of(value));
  }
  GgufWriter& number(const std::string& key, float value) { return pair(key, 6, bytes_of(value)); }
  GgufWriter& flag(const std::string& key, bool value) {
    return pair(key, 7, std::string(1, value ? '\1' : '\0'));
  }
  GgufWriter& text(const std::string& key, const std::string& value) {
    return pair(key, 8, string_of(value));
  }
  GgufWriter& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string body = bytes_of(uint32_t{8}) + bytes_of(uint64_t{values.size()});
    for (const std::string& value : values) body += string_of(value);
    return pair(key, 9, body);
  }
  // A value by its kind's number and its bytes, whatever they are.
  GgufWriter& pair(const std::string& key, uint32_t kind, const std::string& bytes) {
    pairs_ += string_of(key) + bytes_of(kind) + bytes;
    ++num_pairs_;
    return *this;
  }
  // shape: rows first. `type` is ggml's number; the file's data grows by `bytes`.
  GgufWriter& tensor(const std::string& name, const std::vector<int64_t>& shape, uint32_t type,
                     const std::string& bytes) {
    entries_ += string_of(name) + bytes_of(static_cast<uint32_t>(shape.size()));
    for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent) {
      entries_ += bytes_of(static_cast<uint64_t>(*extent));
    }
    entries_ += bytes_of(type) + bytes_of(uint64_t{data_.size()});
    data_ += bytes;
    data_.resize((data_.size() + 31) / 32 * 32);
    ++num_tensors_;
    return *this;
  }
  GgufWriter& tensor(const std::string& name, const SourceTensor& source) {
    const std::string bytes(reinterpret_cast<const char*>(source.values.data()),
                            source.values.size() * sizeof(float));
    return tensor(name, source.shape, 0, bytes);
  }

  std::string finish() const {
    std::string file = "GGUF" + bytes_of(uint32_t{3}) + bytes_of(num_tensors_) +
                       bytes_of(num_pairs_) + pairs_ + entries_;
    file.resize((file.size() + 31) / 32 * 32);
    return file + data_;
  }

  template <typename T>
  static std::string bytes_of(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string string_of(const std::string& text) {
    return bytes_of(uint64_t{text.size()}) + text;
  }

 private:
  uint64_t num_pairs_ = 0, num_tensors_ = 0;
  std::string pairs_, entries_, data_;
};

// The model of tiny_config(tied) and these tensors as a GGUF file.
GgufWriter tiny_gguf(bool tied, const SourceTensors& tensors);

}  // namespace sluice
