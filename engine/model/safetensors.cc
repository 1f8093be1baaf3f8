// Reading a safetensors header. Nothing in it is believed before it is checked.
#include "engine/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr int kMaxJsonDepth = 3;                   // header { tensor { shape [
constexpr size_t kMaxRank = 8;

struct StorageType {
  const char* name;
  uint64_t bytes;
  std::optional<DType> dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"F32", 4, DType::kF32}, {"BF16", 2, DType::kBF16},
    {"F16", 2, DType::kF16}, {"F64", 8, {}},
    {"F8_E4M3", 1, {}},      {"F8_E5M2", 1, {}},
    {"I64", 8, {}},          {"U64", 8, {}},
    {"I32", 4, {}},          {"U32", 4, {}},
    {"I16", 2, {}},          {"U16", 2, {}},
    {"I8", 1, {}},           {"U8", 1, {}},
    {"BOOL", 1, {}},
};

const StorageType* find_storage_type(const std::string& name) {
  for (const StorageType& type : kStorageTypes)
    if (name == type.name) return &type;
  return nullptr;
}

// Elements of `shape` times `element_bytes`; false when it is no uint64.
bool tensor_bytes(const std::vector<int64_t>& shape, uint64_t element_bytes, uint64_t& bytes) {
  bytes = element_bytes;
  for (const int64_t extent : shape)
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) return false;
  return true;
}

// A list of at most `max_size` integers in [0, 2^63).
bool read_extents(const json& value, size_t max_size, std::vector<int64_t>& out) {
  if (!value.is_array() || value.size() > max_size) return false;
  for (const json& item : value) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX) return false;
    out.push_back(item.get<int64_t>());
  }
  return true;
}

// One tensor of the header. Returns what is wrong with it, or nothing.
std::string read_entry(const json& value, uint64_t data_bytes, TensorEntry& out) {
  if (!value.is_object()) return "its description is not an object";
  const auto dtype = value.find("dtype");
  const auto shape = value.find("shape");
  const auto offsets = value.find("data_offsets");
  if (dtype == value.end() || !dtype->is_string()) return "it has no dtype";
  out.dtype_name = dtype->get<std::string>();
  const StorageType* type = find_storage_type(out.dtype_name);
  if (type == nullptr) return str("dtype \"", shown(out.dtype_name), "\" is unknown");
  out.dtype = type->dtype;
  if (shape == value.end() || !read_extents(*shape, kMaxRank, out.shape))
    return str("its shape is not a list of at most ", kMaxRank, " integers >= 0");
  std::vector<int64_t> range;
  if (offsets == value.end() || !read_extents(*offsets, 2, range) || range.size() != 2)
    return "its data_offsets are not two integers >= 0";
  out.begin = static_cast<uint64_t>(range[0]);
  out.end = static_cast<uint64_t>(range[1]);
  if (out.begin > out.end || out.end > data_bytes) {
    return str("its data_offsets are [", out.begin, ", ", out.end, "); the file has ", data_bytes,
               " bytes of data");
  }
  uint64_t bytes = 0;
  if (!tensor_bytes(out.shape, type->bytes, bytes)) return "its shape overflows 64 bits";
  if (bytes != out.end - out.begin) {
    return str("its shape and dtype need ", bytes, " bytes; its data_offsets hold ",
               out.end - out.begin);
  }
  return {};
}

// The tensors, sorted by begin, must tile [0, data_bytes).
std::string check_tiling(const std::vector<TensorEntry>& tensors, uint64_t data_bytes) {
  uint64_t covered = 0;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin != covered) {
      return str("tensor ", shown(tensor.name), " begins at data byte ", tensor.begin,
                 " and not at ", covered, ": tensors ",
                 tensor.begin < covered ? "overlap" : "leave a hole");
    }
    covered = tensor.end;
  }
  if (covered == data_bytes) return {};
  return str("tensors end at data byte ", covered, " of ", data_bytes, "; the file is damaged");
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> bytes,
                                            const std::string& file) {
  const auto refuse = [&](const std::string& problem) {
    return invalid_argument(str(file, ": ", problem), file);
  };
  if (bytes.size() < kLengthBytes)
    return refuse(str("has ", bytes.size(), " bytes; a safetensors file has at least 8"));
  uint64_t length = 0;
  for (size_t i = kLengthBytes; i-- > 0;)
    length = length << 8 | std::to_integer<uint64_t>(bytes[i]);
  if (length > kMaxHeaderBytes)
    return refuse(str("header length ", length, " is over the limit of ", kMaxHeaderBytes));
  if (length > bytes.size() - kLengthBytes) {
    return refuse(str("header length ", length, ", but only ", bytes.size() - kLengthBytes,
                      " bytes follow; the file is cut off or is no safetensors file"));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  SLUICE_RETURN_IF_ERROR(check_json_object(text, file, kMaxJsonDepth));

  SafetensorsHeader header;
  header.data_offset = kLengthBytes + length;
  const uint64_t data_bytes = bytes.size() - header.data_offset;
  const json root = json::parse(text);
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__") continue;
    TensorEntry entry;
    entry.name = name;
    if (const std::string problem = read_entry(value, data_bytes, entry); !problem.empty())
      return refuse(str("tensor ", shown(name), ": ", problem));
    header.tensors.push_back(std::move(entry));
  }
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  if (const std::string problem = check_tiling(header.tensors, data_bytes); !problem.empty())
    return refuse(problem);
  return header;
}

}  // namespace sluice
