// From blocks to floats, one function a type.
#include "engine/model/ggml_blocks.h"

#include <cstring>

#include "base/check.h"
#include "base/types.h"

namespace sluice {
namespace {

constexpr int64_t kSmall = 32;   // values of a block of the first generation
constexpr int64_t kLarge = 256;  // of the K types

uint8_t byte_at(const std::byte* block, int64_t i) { return std::to_integer<uint8_t>(block[i]); }

float half_at(const std::byte* block, int64_t i) {
  uint16_t bits = 0;
  std::memcpy(&bits, block + i, sizeof bits);
  return half_to_float(bits);
}

// d, then (if it has a minimum) m, then (if it has a fifth bit) 32 high bits, then 16 bytes of two
// low halves: values q * d + m, or (q - middle) * d.
template <bool kHasMinimum, bool kHasHighBits>
void small_block(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  const float minimum = kHasMinimum ? half_at(block, 2) : 0;
  const std::byte* next = block + (kHasMinimum ? 4 : 2);
  uint32_t high = 0;
  if (kHasHighBits) {
    std::memcpy(&high, next, sizeof high);
    next += sizeof high;
  }
  const int middle = kHasMinimum ? 0 : kHasHighBits ? 16 : 8;
  for (int64_t i = 0; i < kSmall / 2; ++i) {
    const uint8_t pair = byte_at(next, i);
    const int first = (pair & 15) | static_cast<int>((high >> i & 1) << 4);
    const int second = (pair >> 4) | static_cast<int>((high >> (i + 16) & 1) << 4);
    out[i] = static_cast<float>(first - middle) * scale + minimum;
    out[i + kSmall / 2] = static_cast<float>(second - middle) * scale + minimum;
  }
}

void q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block, 0);
  for (int64_t i = 0; i < kSmall; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(byte_at(block, 2 + i))) * scale;
  }
}

// Scale and minimum of the j-th of eight groups, 6 bits each, out of 12 bytes.
struct ScaleAndMinimum {
  int scale, minimum;
};
ScaleAndMinimum packed_scale(const std::byte* packed, int j) {
  const auto at = [&](int i) { return static_cast<int>(byte_at(packed, i)); };
  if (j < 4) return {at(j) & 63, at(j + 4) & 63};
  return {(at(j + 4) & 15) | (at(j - 4) >> 6) << 4, (at(j + 4) >> 4) | (at(j) >> 6) << 4};
}

// d, dmin, 12 bytes of scales, (32 bytes of fifth bits,) 128 bytes of two low halves.
template <bool kHasHighBits>
void k_block(const std::byte* block, float* out) {
  const float scale = half_at(block, 0), minimum = half_at(block, 2);
  const std::byte* packed = block + 4;
  const std::byte* high = block + 16;
  const std::byte* low = block + (kHasHighBits ? 48 : 16);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMinimum own = packed_scale(packed, group);
    const float d = scale * static_cast<float>(own.scale);
    const float m = minimum * static_cast<float>(own.minimum);
    for (int64_t i = 0; i < 32; ++i) {
      const uint8_t pair = byte_at(low, group / 2 * 32 + i);
      int value = group % 2 == 0 ? pair & 15 : pair >> 4;
      if (kHasHighBits) value |= (byte_at(high, i) >> group & 1) << 4;
      out[group * 32 + i] = d * static_cast<float>(value) - m;
    }
  }
}

// 128 bytes of low halves, 64 of high pairs of bits, 16 scales, d.
void q6_k(const std::byte* block, float* out) {
  const float scale = half_at(block, 208);
  for (int64_t half = 0; half < 2; ++half) {
    const std::byte* low = block + half * 64;
    const std::byte* high = block + 128 + half * 32;
    const std::byte* scales = block + 192 + half * 8;
    for (int64_t i = 0; i < 128; ++i) {
      const int64_t quarter = i / 32, column = i % 32;
      const uint8_t pair = byte_at(low, column + quarter % 2 * 32);
      const int nibble = quarter < 2 ? pair & 15 : pair >> 4;
      const int value = (nibble | (byte_at(high, column) >> (2 * quarter) & 3) << 4) - 32;
      const auto own = static_cast<int8_t>(byte_at(scales, i / 16));
      out[half * 128 + i] = scale * static_cast<float>(own) * static_cast<float>(value);
    }
  }
}

void f32(const std::byte* block, float* out) { std::memcpy(out, block, sizeof *out); }
void f16(const std::byte* block, float* out) { *out = half_at(block, 0); }
void bf16(const std::byte* block, float* out) {
  uint16_t bits = 0;
  std::memcpy(&bits, block, sizeof bits);
  *out = to_float(BF16{bits});
}

struct Type {
  GgmlType type;
  uint32_t number;  // in files
  GgmlBlock block;
  void (*expand)(const std::byte* block, float* out);
};

constexpr Type kTypes[] = {
    {GgmlType::kF32, 0, {"F32", 1, 4}, f32},
    {GgmlType::kF16, 1, {"F16", 1, 2}, f16},
    {GgmlType::kQ4_0, 2, {"Q4_0", kSmall, 18}, small_block<false, false>},
    {GgmlType::kQ4_1, 3, {"Q4_1", kSmall, 20}, small_block<true, false>},
    {GgmlType::kQ5_0, 6, {"Q5_0", kSmall, 22}, small_block<false, true>},
    {GgmlType::kQ5_1, 7, {"Q5_1", kSmall, 24}, small_block<true, true>},
    {GgmlType::kQ8_0, 8, {"Q8_0", kSmall, 34}, q8_0},
    {GgmlType::kQ4_K, 12, {"Q4_K", kLarge, 144}, k_block<false>},
    {GgmlType::kQ5_K, 13, {"Q5_K", kLarge, 176}, k_block<true>},
    {GgmlType::kQ6_K, 14, {"Q6_K", kLarge, 210}, q6_k},
    {GgmlType::kBF16, 30, {"BF16", 1, 2}, bf16},
};

const Type& row_of(GgmlType type) {
  for (const Type& row : kTypes) {
    if (row.type == type) return row;
  }
  fail_check(__FILE__, __LINE__, "a type without a row");
}

}  // namespace

GgmlBlock block_of(GgmlType type) { return row_of(type).block; }

std::optional<GgmlType> ggml_type(uint32_t number) {
  for (const Type& row : kTypes) {
    if (row.number == number) return row.type;
  }
  return std::nullopt;
}

void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out) {
  const Type& row = row_of(type);
  const auto count = static_cast<int64_t>(out.size()) / row.block.values;
  SLUICE_CHECK_EQ(count * row.block.values, static_cast<int64_t>(out.size()));
  SLUICE_CHECK_EQ(count * row.block.bytes, static_cast<int64_t>(blocks.size()));
  for (int64_t i = 0; i < count; ++i) {
    row.expand(blocks.data() + i * row.block.bytes, out.data() + i * row.block.values);
  }
}

}  // namespace sluice
