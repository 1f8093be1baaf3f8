// The header of a safetensors file, checked: files come from strangers.
//
//   file   | header length, 8 bytes LE | JSON header            | data                        |
//                                       name -> dtype, shape, [begin, end) of data
//
// Format: huggingface/safetensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace sluice {

// One tensor of one file. begin and end count from the start of the file's data.
struct TensorEntry {
  std::string name;
  std::string dtype_name;      // as in the file: "BF16"
  std::optional<DType> dtype;  // absent: a type that no weight may have
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  uint64_t data_offset = 0;          // in the file
  std::vector<TensorEntry> tensors;  // by ascending begin
};

// Checks and reads the header of a whole file's bytes. Tensors must fill the data exactly, without
// overlap or hole, as the format demands. `file` names it in messages.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> bytes,
                                            const std::string& file);

}  // namespace sluice
