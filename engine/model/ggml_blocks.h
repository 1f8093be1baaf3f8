// The element types of GGUF files, and their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sluice {

enum class GgmlType { kF32, kF16, kBF16, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K };

// Values come in blocks of `values`, each of `bytes`.
struct GgmlBlock {
  const char* name;
  int64_t values;
  int64_t bytes;
};

GgmlBlock block_of(GgmlType type);

// The type of this number in files; nothing: not supported.
std::optional<GgmlType> ggml_type(uint32_t number);

// out[i] = the i-th value of `blocks`, which holds exactly out.size() values.
// Source: ggml-org/ggml, ggml-quants.c (dequantize_row_*).
void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace sluice
