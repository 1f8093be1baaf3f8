// BatchUpload: one pinned copy of all arrays.
#include "engine/runner/batch_upload.h"

#include <cstring>
#include <utility>

namespace sluice {

int64_t BatchUpload::bytes(int64_t max_tokens, int64_t max_seqs, int64_t max_blocks) {
  return (3 * max_tokens + 3 * (max_seqs + 1) + max_blocks) * int64_t{sizeof(int32_t)};
}

Result<BatchUpload> BatchUpload::create(Backend& backend, int64_t max_tokens, int64_t max_seqs,
                                        int64_t max_blocks) {
  if (backend.info().is_host) return BatchUpload(backend, Buffer(), Buffer());
  const auto size = static_cast<size_t>(bytes(max_tokens, max_seqs, max_blocks));
  Result<Buffer> host = backend.allocate(size, Memory::kHost);
  if (!host.ok()) return host.status();
  Result<Buffer> device = backend.allocate(size, Memory::kDevice);
  if (!device.ok()) return device.status();
  return BatchUpload(backend, std::move(host).value(), std::move(device).value());
}

RaggedBatchView BatchUpload::place(const RaggedBatch& batch) {
  RaggedBatchView view = RaggedBatchView::of(batch);
  if (host_.data() == nullptr) return view;
  size_t used = 0;
  const auto add = [&](const std::vector<int32_t>& values) {
    const size_t bytes = values.size() * sizeof(int32_t);
    SLUICE_CHECK_LE(used + bytes, host_.bytes());
    if (bytes > 0) std::memcpy(host_.as<std::byte>() + used, values.data(), bytes);
    const auto* device = reinterpret_cast<const int32_t*>(device_.as<std::byte>() + used);
    used += bytes;
    return device;
  };
  view.token_ids = add(batch.token_ids);
  view.positions = add(batch.positions);
  view.q_indptr = add(batch.q_indptr);
  view.kv_lens = add(batch.kv_lens);
  view.block_indptr = add(batch.block_indptr);
  view.blocks = add(batch.blocks);
  view.logit_rows = add(batch.logit_rows);
  backend_->upload(device_.data(), host_.data(), used);
  return view;
}

}  // namespace sluice
