// HostMemory: slabs of huge pages, and how many bytes the machine has.
#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "base/text.h"

namespace sluice {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Slabs are virtual until touched: their size costs nothing but address space.
constexpr size_t kSlabBytes = size_t{64} << 20;

// Smaller buffers are the allocator's own: a memory checker sees their ends.
constexpr size_t kSlabThreshold = size_t{64} << 10;

constexpr size_t kAlignment = 64;

size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

std::shared_ptr<std::byte> huge_pages(size_t bytes) {
  void* data = std::aligned_alloc(kHugePage, bytes);
  if (data == nullptr) return nullptr;
  madvise(data, bytes, MADV_HUGEPAGE);  // advice: small pages work too
  return {static_cast<std::byte*>(data), [](std::byte* p) { std::free(p); }};
}

}  // namespace

Result<Buffer> HostMemory::allocate(size_t bytes) {
  const int64_t available = bytes_available();
  const Status refusal(
      StatusCode::kResourceExhausted,
      str("cannot allocate ", bytes, " bytes of memory; ", available, " are available"));
  // The kernel would promise more than it has and kill us at the first touch.
  if (available > 0 && bytes > static_cast<size_t>(available)) return refusal;
  const size_t size = rounded(std::max<size_t>(bytes, 1), kAlignment);
  if (size < kSlabThreshold) {
    void* data = std::aligned_alloc(kAlignment, size);
    if (data == nullptr) return refusal;
    return Buffer(data, bytes, [](void* p) { std::free(p); });
  }
  if (slab_.use_count() == 1) used_ = 0;  // every buffer of it is gone
  if (slab_ == nullptr || slab_bytes_ - used_ < size) {
    slab_bytes_ = std::max(kSlabBytes, rounded(size, kHugePage));
    slab_ = huge_pages(slab_bytes_);
    used_ = 0;
    if (slab_ == nullptr) return refusal;
  }
  std::byte* data = slab_.get() + used_;
  used_ += size;
  return Buffer(data, bytes, [slab = slab_](void*) {});
}

void HostMemory::zero(void* data, size_t bytes) {
  auto* const begin = static_cast<std::byte*>(data);
  std::byte* const end = begin + bytes;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t head = (page - reinterpret_cast<uintptr_t>(begin) % page) % page;
  const size_t pages = bytes < kHugePage ? 0 : (bytes - head) / page * page;
  if (pages == 0 || madvise(begin + head, pages, MADV_DONTNEED) != 0) {
    std::memset(begin, 0, bytes);
    return;
  }
  std::fill(begin, begin + head, std::byte{0});
  std::fill(begin + head + pages, end, std::byte{0});
}

int64_t HostMemory::bytes_total() {
  return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

int64_t HostMemory::bytes_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  while (file >> key >> kib) {
    if (key == "MemAvailable:") return kib * 1024;
    file.ignore(64, '\n');
  }
  return 0;
}

}  // namespace sluice
