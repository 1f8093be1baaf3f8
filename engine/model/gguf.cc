// Reading a GGUF header. Nothing in it is believed before it is checked.
#include "engine/model/gguf.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kMaxRank = 4;
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = 1 << 20;
constexpr size_t kMaxNameBytes = 65535;

// Numbers of the kinds of values.
enum Kind : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// Takes bytes from the front; remembers the first problem, after which it gives zeros.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  const std::string& problem() const { return problem_; }
  bool ok() const { return problem_.empty(); }
  void fail(const std::string& what) {
    if (ok()) problem_ = what;
  }
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

  template <typename T>
  T take() {
    T value{};
    if (left() < sizeof value) {
      fail(str("the file ends inside its header, at byte ", at_));
    } else if (ok()) {
      std::memcpy(&value, bytes_.data() + at_, sizeof value);
      at_ += sizeof value;
    }
    return value;
  }

  std::string text() {
    const auto size = take<uint64_t>();
    if (size > left()) fail(str("a string of ", size, " bytes, and ", left(), " are left"));
    if (!ok()) return {};
    std::string value(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
    at_ += size;
    return value;
  }

  // A number of things that take at least `bytes_each`.
  uint64_t count(const char* what, uint64_t bytes_each) {
    const auto value = take<uint64_t>();
    if (value > left() / bytes_each) {
      fail(str(value, " ", what, ", and ", left(), " bytes are left"));
    }
    return ok() ? value : 0;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  std::string problem_;
};

uint64_t bytes_of_kind(uint32_t kind) {
  switch (kind) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    default:
      return 8;  // of a string at least
  }
}

int64_t take_integer(Cursor& cursor, uint32_t kind) {
  switch (kind) {
    case kU8:
      return cursor.take<uint8_t>();
    case kI8:
      return cursor.take<int8_t>();
    case kU16:
      return cursor.take<uint16_t>();
    case kI16:
      return cursor.take<int16_t>();
    case kU32:
      return cursor.take<uint32_t>();
    case kI32:
      return cursor.take<int32_t>();
    case kI64:
      return cursor.take<int64_t>();
    default: {
      const auto value = cursor.take<uint64_t>();
      if (value > INT64_MAX) cursor.fail(str("the integer ", value, " is beyond 63 bits"));
      return static_cast<int64_t>(value);
    }
  }
}

double take_number(Cursor& cursor, uint32_t kind) {
  return kind == kF32 ? static_cast<double>(cursor.take<float>()) : cursor.take<double>();
}

template <typename T, typename Take>
std::vector<T> take_list(Cursor& cursor, uint64_t count, const Take& take) {
  std::vector<T> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count && cursor.ok(); ++i) items.push_back(take());
  return items;
}

GgufValue take_value(Cursor& cursor, uint32_t kind);

GgufValue take_array(Cursor& cursor) {
  const auto kind = cursor.take<uint32_t>();
  if (kind == kArray || kind > kF64) {
    cursor.fail(str("a list of values of kind ", kind, ", which is not supported"));
    return {};
  }
  const uint64_t count = cursor.count("values of a list", bytes_of_kind(kind));
  if (kind == kString) {
    return take_list<std::string>(cursor, count, [&] { return cursor.text(); });
  }
  if (kind == kBool) {
    return take_list<bool>(cursor, count, [&] { return cursor.take<uint8_t>() != 0; });
  }
  if (kind == kF32 || kind == kF64) {
    return take_list<double>(cursor, count, [&] { return take_number(cursor, kind); });
  }
  return take_list<int64_t>(cursor, count, [&] { return take_integer(cursor, kind); });
}

GgufValue take_value(Cursor& cursor, uint32_t kind) {
  if (kind == kArray) return take_array(cursor);
  if (kind == kString) return cursor.text();
  if (kind == kBool) return cursor.take<uint8_t>() != 0;
  if (kind == kF32 || kind == kF64) return take_number(cursor, kind);
  if (kind > kF64) cursor.fail(str("a value of the unknown kind ", kind));
  return cursor.ok() ? take_integer(cursor, kind) : 0;
}

struct Entry {
  std::string name;
  GgufTensor tensor;
  uint64_t offset = 0;  // in the data
  uint64_t bytes = 0;
};

// Bytes of the whole tensor, or what is wrong with it.
std::string measure(Entry& entry) {
  const GgmlBlock block = block_of(entry.tensor.type);
  if (entry.tensor.shape.empty()) return "has no shape";
  if (entry.tensor.shape.back() % block.values != 0) {
    return str("has rows of ", entry.tensor.shape.back(), " values, which are no whole blocks of ",
               block.values, " (", block.name, ")");
  }
  uint64_t values = 1;
  for (const int64_t extent : entry.tensor.shape) {
    if (__builtin_mul_overflow(values, static_cast<uint64_t>(extent), &values)) {
      return "has a shape beyond 64 bits";
    }
  }
  const uint64_t blocks = values / static_cast<uint64_t>(block.values);
  if (__builtin_mul_overflow(blocks, static_cast<uint64_t>(block.bytes), &entry.bytes)) {
    return "has a size beyond 64 bits";
  }
  return {};
}

Entry take_entry(Cursor& cursor) {
  Entry entry;
  entry.name = cursor.text();
  if (entry.name.size() > kMaxNameBytes) cursor.fail("a tensor's name is too long");
  const auto rank = cursor.take<uint32_t>();
  if (rank > kMaxRank) cursor.fail(str("a tensor of ", rank, " dimensions; at most 4 are known"));
  for (uint32_t i = 0; i < rank && cursor.ok(); ++i) {
    const auto extent = cursor.take<uint64_t>();
    if (extent > INT64_MAX) cursor.fail(str("a dimension of ", extent));
    entry.tensor.shape.insert(entry.tensor.shape.begin(), static_cast<int64_t>(extent));
  }
  const auto number = cursor.take<uint32_t>();
  entry.offset = cursor.take<uint64_t>();
  if (!cursor.ok()) return entry;
  const auto type = ggml_type(number);
  if (!type) {
    cursor.fail(str("tensor ", shown(entry.name), " is of type ", number,
                    "; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and "
                    "Q6_K"));
    return entry;
  }
  entry.tensor.type = *type;
  if (const std::string problem = measure(entry); !problem.empty()) {
    cursor.fail(str("tensor ", shown(entry.name), " ", problem));
  }
  return entry;
}

void take_metadata(Cursor& cursor, uint64_t count, GgufHeader& header) {
  for (uint64_t i = 0; i < count && cursor.ok(); ++i) {
    std::string key = cursor.text();
    const auto kind = cursor.take<uint32_t>();
    GgufValue value = take_value(cursor, kind);
    if (!cursor.ok()) return;
    const auto [existing, is_new] = header.metadata.emplace(std::move(key), std::move(value));
    if (!is_new) cursor.fail(str("the key ", shown(existing->first), " is there twice"));
  }
}

// Places tensors into the data, which begins behind the header at a multiple of the alignment.
void place(Cursor& cursor, std::span<const std::byte> bytes, std::vector<Entry> entries,
           GgufHeader& header) {
  const int64_t alignment = header.integer("general.alignment").value_or(kDefaultAlignment);
  if (alignment < 1 || alignment > kMaxAlignment) {
    return cursor.fail(str("general.alignment is ", alignment));
  }
  const auto step = static_cast<size_t>(alignment);
  const size_t begin = (cursor.at() + step - 1) / step * step;
  const size_t size = begin < bytes.size() ? bytes.size() - begin : 0;
  for (Entry& entry : entries) {
    if (entry.offset > size || entry.bytes > size - entry.offset) {
      return cursor.fail(str("tensor ", shown(entry.name), " has ", entry.bytes, " bytes from ",
                             entry.offset, "; the file has ", size, " bytes of data"));
    }
    entry.tensor.bytes = bytes.subspan(begin + entry.offset, entry.bytes);
    const auto [existing, is_new] =
        header.tensors.emplace(std::move(entry.name), std::move(entry.tensor));
    if (!is_new) return cursor.fail(str("tensor ", shown(existing->first), " is there twice"));
  }
}

}  // namespace

const std::string* GgufHeader::text(const std::string& key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : std::get_if<std::string>(&found->second);
}

std::optional<int64_t> GgufHeader::integer(const std::string& key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const auto* value = std::get_if<int64_t>(&found->second);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<double> GgufHeader::number(const std::string& key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const auto* value = std::get_if<double>(&found->second);
  return value == nullptr || !std::isfinite(*value) ? std::nullopt : std::optional(*value);
}

std::optional<bool> GgufHeader::flag(const std::string& key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const auto* value = std::get_if<bool>(&found->second);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

Result<GgufHeader> parse_gguf(std::span<const std::byte> bytes, const std::string& file) {
  constexpr uint64_t kMinPairBytes = 8 + 4 + 1;        // key, kind, value
  constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;  // name, rank, type, offset
  Cursor cursor(bytes);
  GgufHeader header;
  if (bytes.size() < kMagic.size() || std::memcmp(bytes.data(), kMagic.data(), 4) != 0) {
    return invalid_argument(str(file, ": is no GGUF file"), file);
  }
  cursor.take<uint32_t>();
  const auto version = cursor.take<uint32_t>();
  if (version != 2 && version != 3) cursor.fail(str("version ", version, "; 2 and 3 are known"));
  const uint64_t num_tensors = cursor.count("tensors", kMinTensorBytes);
  const uint64_t num_pairs = cursor.count("values of metadata", kMinPairBytes);
  take_metadata(cursor, num_pairs, header);
  std::vector<Entry> entries;
  for (uint64_t i = 0; i < num_tensors && cursor.ok(); ++i) entries.push_back(take_entry(cursor));
  if (cursor.ok()) place(cursor, bytes, std::move(entries), header);
  if (cursor.ok()) return header;
  return invalid_argument(str(file, ": not a usable GGUF file: ", cursor.problem()), file);
}

bool is_gguf_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  char magic[4] = {};
  return in.read(magic, sizeof magic) && std::string_view(magic, sizeof magic) == kMagic;
}

}  // namespace sluice
