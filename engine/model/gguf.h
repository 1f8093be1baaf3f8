// The header of a GGUF file, checked: files come from strangers.
//
//   | "GGUF" | version | counts | key, type, value ... | tensor name, shape, type, offset ... |
//   data |
//
// Format: ggml-org/ggml, docs/gguf.md; versions 2 and 3, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/model/ggml_blocks.h"

namespace sluice {

// A value of the metadata. Integers of any width are int64 (those beyond are refused), lists of
// them too; lists hold one kind.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<bool>,
                               std::vector<int64_t>, std::vector<double>, std::vector<std::string>>;

struct GgufTensor {
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> shape;  // as everywhere here: rows first, then columns
  std::span<const std::byte> bytes;
};

struct GgufHeader {
  std::map<std::string, GgufValue> metadata;
  std::map<std::string, GgufTensor> tensors;

  // Values by key and kind; null or nothing: absent, or of another kind.
  const std::string* text(const std::string& key) const;
  std::optional<int64_t> integer(const std::string& key) const;
  std::optional<double> number(const std::string& key) const;
  std::optional<bool> flag(const std::string& key) const;
  template <typename T>
  const std::vector<T>* list(const std::string& key) const {
    const auto found = metadata.find(key);
    return found == metadata.end() ? nullptr : std::get_if<std::vector<T>>(&found->second);
  }
};

// Checks and reads the header of a whole file's bytes, which must outlive the result. Memory is
// bounded by the file's size. `file` names it in messages.
Result<GgufHeader> parse_gguf(std::span<const std::byte> bytes, const std::string& file);

// Whether the file at `path` begins like a GGUF file. False for what cannot be read.
bool is_gguf_file(const std::string& path);

}  // namespace sluice
