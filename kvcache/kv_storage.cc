// KvStorage: allocation and views.
#include "kvcache/kv_storage.h"

#include <utility>

#include "base/text.h"

namespace sluice {

Result<KvStorage> KvStorage::create(Backend& backend, const KvLayout& layout, int num_blocks) {
  if (layout.block_bytes() <= 0 || num_blocks <= 0) {
    return invalid_argument(str("the KV cache would have ", num_blocks, " blocks of ",
                                layout.block_bytes(), " bytes; both must be at least 1"));
  }
  const auto bytes = static_cast<size_t>(layout.block_bytes()) * static_cast<size_t>(num_blocks);
  Result<Buffer> arena = backend.allocate(bytes, Memory::kDevice);
  if (!arena.ok()) return arena.status();
  backend.fill_zero(arena->data(), bytes);
  return KvStorage(layout, num_blocks, std::move(arena).value());
}

KvCacheView KvStorage::layer(int index) const {
  SLUICE_CHECK(index >= 0 && index < layout_.num_layers);
  return layout_.layer(arena_.as<std::byte>(), index);
}

}  // namespace sluice
