// The adapter: from the seam's ops to kernels and threads.
#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/text.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/ceilings.h"
#include "kernels/cpu/cluster_ops.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/kv_tile.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/cpu/sampling.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {
namespace {

// Elements below which a row-wise op, and rows times words of a weight below which a gemm, are not
// worth a fork: a few microseconds of work.
constexpr int64_t kForkElements = 16 * 1024;
constexpr int64_t kForkWords = 96 * 1024;

// Packed rows of x that one round of a gemm keeps (all threads), and that one job runs against each
// panel (its share of the second-level cache).
constexpr int64_t kRoundBytes = int64_t{4} << 20;
constexpr int64_t kJobBytes = int64_t{256} << 10;

// Jobs per thread of a gemm: enough to even out a busy core.
constexpr int64_t kJobsPerThread = 4;

Rows rows_of(const TensorView& x, int64_t first) {
  return {x.row_ptr(first), x.dtype, x.row_stride, x.cols};
}

template <typename T>
void append_tiles(const T* k, const T* v, int slot, int head_dim, const KvCacheView& kv,
                  std::byte* k_tile, std::byte* v_tile) {
  for (int i = 0; i < head_dim; ++i) {
    const int64_t k_at = k_tile_index(slot, i, kv.dtype);
    const int64_t v_at = v_tile_index(slot, i, head_dim, kv.dtype);
    if (kv.dtype == DType::kF32) {
      reinterpret_cast<float*>(k_tile)[k_at] = to_float(k[i]);
      reinterpret_cast<float*>(v_tile)[v_at] = to_float(v[i]);
    } else {
      reinterpret_cast<BF16*>(k_tile)[k_at] = to_bf16(to_float(k[i]));
      reinterpret_cast<BF16*>(v_tile)[v_at] = to_bf16(to_float(v[i]));
    }
  }
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int num_threads, DType activations, const KernelTable& kernels)
      : kernels_(kernels),
        activations_(activations),
        pool_(num_threads),
        attention_(kernels, pool_, activations),
        sampling_(static_cast<size_t>(num_threads)) {}

  BackendInfo info() const override {
    return {.name = str("cpu ", kernels_.name, ", ", pool_.num_threads(), " threads"),
            .is_host = true,
            .activations = activations_,
            .memory_bytes_total = HostMemory::bytes_total(),
            .memory_bytes_free = HostMemory::bytes_available()};
  }
  DType activation_dtype(DType) const override { return DType::kF32; }
  Result<Ceilings> measure_ceilings() override { return measure_cpu_ceilings(memory_, pool_); }
  ClusterOps* cluster_ops() override { return &cluster_ops_; }
  bool supports_head_dim(int head_dim) const override {
    return head_dim == 64 || head_dim == 96 || head_dim == 128 || head_dim == 256;
  }
  bool batch_invariant() const override { return true; }

  Result<Buffer> allocate(size_t bytes, Memory) override { return memory_.allocate(bytes); }
  Status prepare(const StepLimits&) override { return {}; }  // scratch grows with what is seen

  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);  // an empty array's pointer may be null
  }
  void fill_zero(void* to, size_t bytes) override { HostMemory::zero(to, bytes); }
  void upload(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  Fence fence() override { return {}; }
  void wait(Fence) override {}
  void synchronize() override {}

 private:
  Result<Weight> make_weight(std::string name, int64_t rows, int64_t cols, DType dtype) {
    Result<Buffer> storage = allocate(packed_bytes(rows, cols, dtype), Memory::kDevice);
    if (!storage.ok()) return storage.status();
    return Weight{std::move(name), dtype, rows, cols, std::move(storage).value()};
  }

  Result<Weight> do_load_weight(std::string name, std::span<const TensorView> parts,
                                DType dtype) override {
    int64_t rows = 0;
    for (const TensorView& part : parts) rows += part.rows;
    Result<Weight> weight = make_weight(std::move(name), rows, parts.front().cols, dtype);
    if (weight.ok()) pack_weight(weight->storage.data(), parts, dtype, pool_);
    return weight;
  }

  Result<Weight> do_random_weight(std::string name, int64_t rows, int64_t cols, DType dtype,
                                  uint64_t seed, float scale) override {
    Result<Weight> weight = make_weight(std::move(name), rows, cols, dtype);
    if (weight.ok())
      pack_random_weight(weight->storage.data(), rows, cols, dtype, seed, scale, pool_);
    return weight;
  }

  // Calls body(first row, number of rows) over the rows of a row-wise op, in parallel when large.
  template <typename Body>
  void for_row_ranges(int64_t rows, int64_t cols, Body&& body) {
    const int64_t step = std::max<int64_t>(1, kForkElements / std::max<int64_t>(cols, 1));
    if (rows <= step || pool_.num_threads() == 1) return body(0, rows);
    pool_.parallel_for(ceil_div(rows, step),
                       [&](int64_t i, int) { body(i * step, std::min(step, rows - i * step)); });
  }

  void do_embed(TensorView out, const Weight& table, const TokenId* ids,
                const TokenId* sampled) override {
    for_row_ranges(out.rows, out.cols, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const TokenId id = ids[r] >= 0 ? ids[r] : std::max(sampled[pending_index(ids[r])], 0);
        if (out.dtype == DType::kF32) {
          unpack_row(out.row<float>(r), table.storage.data(), id, table.cols, table.dtype);
        } else {
          unpack_row(out.row<BF16>(r), table.storage.data(), id, table.cols, table.dtype);
        }
      }
    });
  }

  void do_rms_norm(TensorView out, TensorView x, TensorView weight, float eps) override {
    for_row_ranges(x.rows, x.cols, [&](int64_t first, int64_t count) {
      kernels_.rms_norm(rows_of(out, first), rows_of(x, first), weight.row<float>(0), eps, count);
    });
  }

  void do_add_rms_norm(TensorView out, TensorView residual, TensorView delta, TensorView weight,
                       float eps) override {
    for_row_ranges(out.rows, out.cols, [&](int64_t first, int64_t count) {
      kernels_.add_rms_norm(rows_of(out, first), rows_of(residual, first), rows_of(delta, first),
                            weight.row<float>(0), eps, count);
    });
  }

  void do_silu_mul(TensorView out, TensorView gate_up) override {
    for_row_ranges(out.rows, out.cols, [&](int64_t first, int64_t count) {
      kernels_.silu_mul(rows_of(out, first), rows_of(gate_up, first), count);
    });
  }

  void do_gelu_mul(TensorView out, TensorView gate_up) override {
    for_row_ranges(out.rows, out.cols, [&](int64_t first, int64_t count) {
      kernels_.gelu_mul(rows_of(out, first), rows_of(gate_up, first), count);
    });
  }

  void do_norm_heads(TensorView x, TensorView weight, float eps) override {
    for_row_ranges(x.rows, x.cols, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const Rows heads{x.row_ptr(r), x.dtype, weight.cols, weight.cols};
        kernels_.rms_norm(heads, heads, weight.row<float>(0), eps, x.cols / weight.cols);
      }
    });
  }

  void do_add(TensorView x, TensorView delta) override {
    const bool is_bias = delta.rows == 1;
    for_row_ranges(x.rows, x.cols, [&](int64_t first, int64_t count) {
      Rows more = rows_of(delta, is_bias ? 0 : first);
      if (is_bias) more.stride = 0;
      kernels_.add(rows_of(x, first), more, count);
    });
  }

  void do_soft_cap(TensorView x, float cap) override {
    for_row_ranges(x.rows, x.cols, [&](int64_t first, int64_t count) {
      kernels_.soft_cap(rows_of(x, first), cap, count);
    });
  }

  void do_scale(TensorView x, float factor) override {
    for_row_ranges(x.rows, x.cols, [&](int64_t first, int64_t count) {
      kernels_.scale(rows_of(x, first), factor, count);
    });
  }

  void do_gather_rows(TensorView out, TensorView x, const int32_t* rows) override {
    const size_t bytes = static_cast<size_t>(x.cols) * size_of(x.dtype);
    for (int64_t r = 0; r < out.rows; ++r) std::memcpy(out.row_ptr(r), x.row_ptr(rows[r]), bytes);
  }

  void do_gemm(TensorView out, const ProductInput& input, const Weight& weight) override {
    SLUICE_CHECK(input.is_complete());
    const TensorView& x = input.values;
    const int64_t steps = panel_steps(weight.cols, weight.dtype);
    const ProductTypes types{.panel = weight.dtype, .rows = activations_};
    const size_t row_bytes = kernels_.x_row_bytes(types, steps);
    const int64_t round = std::max<int64_t>(1, kRoundBytes / static_cast<int64_t>(row_bytes));
    for (int64_t first = 0; first < x.rows; first += round) {
      const int64_t rows = std::min(round, x.rows - first);
      std::byte* packed = gemm_x_.get(static_cast<size_t>(rows) * row_bytes);
      for_row_ranges(rows, x.cols, [&](int64_t from, int64_t count) {
        kernels_.pack_x(packed + static_cast<size_t>(from) * row_bytes, rows_of(x, first + from),
                        count, types, steps);
      });
      gemm_round({.x = packed,
                  .panels = weight.storage.as<uint32_t>(),
                  .types = types,
                  .rows = rows,
                  .steps = steps,
                  .n = weight.rows,
                  .out = rows_of(out, first)},
                 row_bytes);
    }
  }

  // One round: a grid of jobs, (rows that fit a core's cache) x (some panels).
  void gemm_round(const GemmArgs& args, size_t row_bytes) {
    const int64_t job_rows =
        std::clamp<int64_t>(kJobBytes / static_cast<int64_t>(row_bytes), 1, args.rows);
    const int64_t row_jobs = ceil_div(args.rows, job_rows);
    const int64_t panels = packed_panels(args.n);
    const bool forks = pool_.num_threads() > 1 && args.rows * args.n * args.steps >= kForkWords;
    const int64_t panel_jobs =
        forks ? std::min(panels,
                         std::max<int64_t>(1, kJobsPerThread * pool_.num_threads() / row_jobs))
              : 1;
    const auto job = [&](int64_t index, int) {
      const int64_t row = index / panel_jobs * job_rows;
      const int64_t part = index % panel_jobs;
      GemmArgs mine = args;
      mine.x += static_cast<size_t>(row) * row_bytes;
      mine.rows = std::min(job_rows, args.rows - row);
      mine.out.data = static_cast<std::byte*>(args.out.data) +
                      static_cast<size_t>(row * args.out.stride) * size_of(args.out.dtype);
      kernels_.gemm(mine, part * panels / panel_jobs, (part + 1) * panels / panel_jobs);
    };
    if (forks) return pool_.parallel_for(row_jobs * panel_jobs, job);
    for (int64_t i = 0; i < row_jobs; ++i) job(i, 0);
  }

  void do_rope_append_kv(TensorView qkv, int num_q_heads, const RopeTable& rope,
                         const RaggedBatchView& batch, const KvCacheView& kv) override {
    for (int s = 0; s < batch.num_seqs; ++s)
      SLUICE_CHECK_LE(int64_t{batch.kv_lens[s]}, rope.num_positions);
    for_row_ranges(qkv.rows, qkv.cols, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t)
        append_row(qkv, t, num_q_heads, rope, batch, kv);
    });
  }

  void append_row(const TensorView& qkv, int64_t t, int num_q_heads, const RopeTable& rope,
                  const RaggedBatchView& batch, const KvCacheView& kv) {
    const int d = kv.head_dim;
    const int position = batch.positions[t];
    const int64_t table_row = int64_t{position} * d / 2;
    kernels_.rope(qkv.row_ptr(t), qkv.dtype, num_q_heads + kv.num_kv_heads, d, rope.cos + table_row,
                  rope.sin + table_row);
    const int32_t* past = std::upper_bound(batch.q_indptr, batch.q_indptr + batch.num_seqs + 1, t);
    const int64_t sequence = past - batch.q_indptr - 1;
    const BlockId block = batch.blocks[batch.block_indptr[sequence] + position / kBlockTokens];
    const int slot = position % kBlockTokens;
    for (int h = 0; h < kv.num_kv_heads; ++h) {
      const int64_t k = int64_t{num_q_heads + h} * d;
      const int64_t v = k + int64_t{kv.num_kv_heads} * d;
      std::byte* k_tile = kv.k_tile(block, h);
      std::byte* v_tile = kv.v_tile(block, h);
      if (qkv.dtype == DType::kF32) {
        const float* row = qkv.row<float>(t);
        append_tiles(row + k, row + v, slot, d, kv, k_tile, v_tile);
      } else {
        const BF16* row = qkv.row<BF16>(t);
        append_tiles(row + k, row + v, slot, d, kv, k_tile, v_tile);
      }
    }
  }

  void do_attend(TensorView out, TensorView q, int num_q_heads, const AttendOptions& options,
                 const RaggedBatchView& batch, const KvCacheView& kv,
                 const KvRunsView* runs) override {
    attention_.run(out, q, num_q_heads, options, batch, kv, runs);
  }

  void do_sample(const SampledTokens& out, TokenId* next, TensorView logits, TensorView /*scratch*/,
                 const SamplingBatch& batch, const TokenId* sampled) override {
    pool_.parallel_for(logits.rows, [&](int64_t r, int thread) {
      const int32_t pending = batch.pending[r];
      sample_row(out, logits.row<float>(r), static_cast<int>(logits.cols), batch,
                 static_cast<int>(r), pending < 0 ? -1 : sampled[pending], kernels_,
                 sampling_[thread]);
    });
    if (next != nullptr) std::copy_n(out.ids, logits.rows, next);
  }

  const KernelTable& kernels_;
  DType activations_;
  HostMemory memory_;
  ThreadPool pool_;
  CpuAttention attention_;
  CpuClusterOps cluster_ops_{pool_};
  Scratch gemm_x_;
  std::vector<SampleScratch> sampling_;  // a thread each
};

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(int num_threads, std::string_view isa,
                                                  DType activations) {
  std::string names;
  for (const KernelTable* table : cpu_kernel_tables()) {
    if (isa.empty() || isa == table->name)
      return std::unique_ptr<Backend>(
          std::make_unique<CpuBackend>(num_threads, activations, *table));
    names += names.empty() ? table->name : str(", ", table->name);
  }
  return invalid_argument(
      str("this processor does not run the instruction set \"", isa, "\"; it runs ", names));
}

std::unique_ptr<Backend> make_cpu_backend(int num_threads, DType activations) {
  return make_cpu_backend(num_threads, "", activations).value();
}

}  // namespace sluice
