// Words used on every floor: token and block ids, element types, the bfloat16 and half formats.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice {

using TokenId = int32_t;
using BlockId = int32_t;  // index of a block in the arena; kNoBlock where there is none
inline constexpr BlockId kNoBlock = -1;

// Tokens of one block: also the side of sparse-attention pages and of the tensor cores' key tile.
inline constexpr int kBlockTokens = 64;

enum class DType : uint8_t { kF32, kBF16, kF16 };

constexpr size_t size_of(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }
constexpr const char* name_of(DType dtype) {
  return dtype == DType::kF32 ? "float32" : dtype == DType::kBF16 ? "bfloat16" : "float16";
}

// The upper half of a float32. Conversion rounds to nearest even; NaN stays NaN.
struct BF16 {
  uint16_t bits = 0;
};

inline float to_float(BF16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline float to_float(float x) { return x; }

inline BF16 to_bf16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffU) > 0x7f800000U) return {static_cast<uint16_t>((u >> 16) | 0x40U)};
  return {static_cast<uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16)};
}

// IEEE 754 half to float32, subnormals included; checkpoints stored as float16 pass through here
// once.
inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000U) << 16;
  const uint32_t exponent = (h >> 10) & 0x1fU;
  const uint32_t mantissa = h & 0x3ffU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign ? -magnitude : magnitude;
  }
  const uint32_t biased = exponent == 31 ? 255U : exponent + 112U;
  return std::bit_cast<float>(sign | (biased << 23) | (mantissa << 13));
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace sluice
