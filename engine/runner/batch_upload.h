// BatchUpload: puts a step's RaggedBatch where the backend's kernels read it, in one copy.
#pragma once

#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/ragged_batch.h"

namespace sluice {

class BatchUpload {
 public:
  // Room for steps of max_tokens rows, max_seqs sequences and max_blocks block-table entries in
  // all. Host backends need none. kResourceExhausted when the buffers do not fit.
  static Result<BatchUpload> create(Backend& backend, int64_t max_tokens, int64_t max_seqs,
                                    int64_t max_blocks);

  // Of device memory, and of pinned host memory as much.
  static int64_t bytes(int64_t max_tokens, int64_t max_seqs, int64_t max_blocks);

  // View of `batch` for the kernels, good until the next call, by which that step must be done.
  // `batch` must stay as it is until the step's kernels are enqueued. CHECKs that it fits.
  RaggedBatchView place(const RaggedBatch& batch);

 private:
  BatchUpload(Backend& backend, Buffer host, Buffer device)
      : backend_(&backend), host_(std::move(host)), device_(std::move(device)) {}

  Backend* backend_;
  Buffer host_;  // pinned; empty on host backends
  Buffer device_;
};

}  // namespace sluice
