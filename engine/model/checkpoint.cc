// Finding, mapping and joining the files of a checkpoint.
#include "engine/model/checkpoint.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/text.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

constexpr size_t kMaxIndexBytes = 100'000'000;  // as the header of one file
constexpr int kMaxIndexDepth = 4;
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

Status world_error(const std::string& path, int error) {
  return {StatusCode::kNotFound, str(path, ": ", std::strerror(error)), path};
}

// A file in the index's own directory, named plainly: an index must not reach out of its directory.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

// weight_map of an index: tensor -> file name.
Result<std::map<std::string, std::string>> read_index(const std::string& path) {
  const Result<std::string> text = read_text_file(path, kMaxIndexBytes);
  if (!text.ok()) return text.status();
  SLUICE_RETURN_IF_ERROR(check_json_object(text.value(), path, kMaxIndexDepth));
  const nlohmann::json root = nlohmann::json::parse(text.value());
  const auto weight_map = root.find("weight_map");
  if (weight_map == root.end() || !weight_map->is_object() || weight_map->empty())
    return invalid_argument(str(path, ": has no weight_map"), path);
  std::map<std::string, std::string> index;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_name(file.get<std::string>())) {
      return invalid_argument(
          str(path, ": tensor ", shown(tensor), " is mapped to ", shown(file.dump()),
              "; expected the name of a file in the same directory"),
          path);
    }
    index.emplace(tensor, file.get<std::string>());
  }
  return index;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return world_error(path, errno);
  struct stat info{};
  void* data = MAP_FAILED;
  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const auto size = static_cast<size_t>(info.st_size);
  if (regular && size > 0) data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (!regular || size == 0)
    return invalid_argument(str(path, " is empty or not a regular file"), path);
  if (data == MAP_FAILED) return world_error(path, error);
  return MappedFile(static_cast<const std::byte*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(std::span<const std::byte> part) const {
  if (part.empty()) return;
  // Whole pages only, rounded outward: a neighbour's page that goes too comes back from the file.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const size_t before = reinterpret_cast<uintptr_t>(part.data()) % page;
  // Only advice: what the kernel makes of it changes nothing that is read.
  (void)madvise(const_cast<std::byte*>(part.data()) - before, part.size() + before, MADV_DONTNEED);
}

Status Checkpoint::add_file(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  const std::span<const std::byte> bytes = file->bytes();
  Result<SafetensorsHeader> header = parse_safetensors(bytes, path);
  if (!header.ok()) return header.status();
  const size_t index = files_.size();
  for (TensorEntry& entry : header->tensors) {
    Tensor tensor{.entry = std::move(entry), .bytes = {}, .file = index};
    tensor.bytes = bytes.subspan(header->data_offset + tensor.entry.begin,
                                 tensor.entry.end - tensor.entry.begin);
    const std::string name = tensor.entry.name;
    const auto [existing, is_new] = tensors_.emplace(name, std::move(tensor));
    if (!is_new) {
      return invalid_argument(
          str(path, ": tensor ", shown(name), " is also in ", path_of(existing->second)), path);
    }
  }
  paths_.push_back(path);
  files_.push_back(std::move(file).value());
  return {};
}

const Checkpoint::Tensor* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<Checkpoint> Checkpoint::open(const std::string& dir) {
  namespace fs = std::filesystem;
  std::error_code ignored;  // what cannot be looked at is not there; opening says why
  const fs::path base(dir);
  Checkpoint checkpoint;
  if (fs::exists(base / kSingleFile, ignored)) {
    SLUICE_RETURN_IF_ERROR(checkpoint.add_file((base / kSingleFile).string()));
    return checkpoint;
  }
  const std::string index_path = (base / kIndexFile).string();
  if (!fs::exists(index_path, ignored)) {
    return Status(StatusCode::kNotFound,
                  str(dir, " has neither ", kSingleFile, " nor ", kIndexFile,
                      "; weights in other formats are not read"),
                  dir);
  }
  const Result<std::map<std::string, std::string>> index = read_index(index_path);
  if (!index.ok()) return index.status();
  std::set<std::string> names;
  for (const auto& [tensor, file] : index.value()) names.insert(file);
  for (const std::string& name : names)
    SLUICE_RETURN_IF_ERROR(checkpoint.add_file((base / name).string()));
  for (const auto& [name, file] : index.value()) {
    const Tensor* tensor = checkpoint.find(name);
    if (tensor == nullptr || fs::path(checkpoint.path_of(*tensor)).filename() != file) {
      return invalid_argument(str(index_path, ": tensor ", shown(name), " is not in ", file,
                                  ", where the "
                                  "index puts it"),
                              index_path);
    }
  }
  return checkpoint;
}

}  // namespace sluice
