// Writing, clustering and reading back a context.
#include "tests/kernels/cluster_fixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice {
namespace {

constexpr int kMaxRuns = 1 << 16;
constexpr int kMaxLists = 1 << 12;

template <typename T>
std::vector<T> read(Backend& backend, const Buffer& from, size_t count) {
  Buffer host = backend.allocate(count * sizeof(T) + 1, Memory::kHost).value();
  backend.copy(host.data(), from.data(), count * sizeof(T));
  backend.synchronize();
  return {host.as<T>(), host.as<T>() + count};
}

Buffer room(Backend& backend, size_t bytes) {
  Buffer buffer = backend.allocate(bytes, Memory::kDevice).value();
  backend.fill_zero(buffer.data(), bytes);
  return buffer;
}

}  // namespace

ClusterFixture::ClusterFixture(Backend& backend, const ContextShape& shape, uint32_t seed)
    : backend_(backend),
      shape_(shape),
      num_blocks_(static_cast<int>(2 * shape.clusters.length / kBlockTokens + 1 +
                                   ceil_div(shape.tail, kBlockTokens))),
      begins_(room(backend, sizeof(int32_t) * static_cast<size_t>(shape.kv_heads) *
                                static_cast<size_t>(shape.clusters.num_clusters + 1))),
      coarse_begins_(room(backend, sizeof(int32_t) * static_cast<size_t>(shape.kv_heads) *
                                       static_cast<size_t>(shape.clusters.num_coarse + 1))),
      order_(room(backend, sizeof(int32_t) * static_cast<size_t>(shape.kv_heads) *
                               static_cast<size_t>(shape.clusters.count))),
      run_indptr_(room(backend, sizeof(int32_t) * (kMaxLists + 1))),
      runs_(room(backend, sizeof(KvRun) * kMaxRuns)),
      stats_(room(backend, sizeof(SelectionStats) * kMaxLists)),
      centroids_(backend, shape.kv, int64_t{shape.kv_heads} * shape.clusters.num_clusters,
                 shape.head_dim),
      coarse_(backend, shape.kv, int64_t{shape.kv_heads} * shape.clusters.num_coarse,
              shape.head_dim),
      qkv_(backend, DType::kF32, tokens(),
           int64_t{shape.q_heads + 2 * shape.kv_heads} * shape.head_dim) {
  const size_t arena = static_cast<size_t>(num_blocks_) * kBlockTokens * 2 *
                       static_cast<size_t>(shape.kv_heads * shape.head_dim) * size_of(shape.kv);
  arena_ = room(backend, arena);
  std::mt19937 rng(seed);
  // Keys lie around a few directions and a common offset; lengths differ.
  const int d = shape.head_dim;
  std::normal_distribution<double> normal;
  std::vector<double> directions(static_cast<size_t>(8 * d)), offset(static_cast<size_t>(d));
  for (double& x : directions) x = normal(rng);
  for (double& x : offset) x = normal(rng);
  const auto fill = [&](std::vector<double>& to, int heads, bool keys_of_context) {
    for (int t = 0; t < tokens(); ++t) {
      for (int h = 0; h < heads; ++h) {
        const auto towards = static_cast<int64_t>(rng() % 8) * d;
        const double length = 0.5 + 0.1 * static_cast<double>(rng() % 10);
        for (int f = 0; f < d; ++f) {
          const double x = keys_of_context
                               ? offset[f] + length * directions[towards + f] + 0.3 * normal(rng)
                               : normal(rng);
          to.push_back(rounded(shape.alike && keys_of_context ? 1 : x, shape.kv));
        }
      }
    }
  };
  fill(keys, shape.kv_heads, true);
  for (double& x : keys) x = rounded(x * shape.key_scale, shape.kv);
  fill(values, shape.kv_heads, false);
  fill(queries, shape.q_heads, false);
  for (int i = 0; i * kBlockTokens < tokens(); ++i) blocks_.push_back(num_blocks_ - 1 - i);
  std::shuffle(blocks_.begin(), blocks_.end(), rng);
  clusters_ = {.shape = shape.clusters,
               .centroids = centroids_.view(),
               .coarse = coarse_.view(),
               .begins = begins_.as<int32_t>(),
               .coarse_begins = coarse_begins_.as<int32_t>()};
  write();
}

float ClusterFixture::scale() const {
  return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
}

KvCacheView ClusterFixture::kv() const {
  KvCacheView view{.arena = arena_.as<std::byte>(),
                   .num_kv_heads = shape_.kv_heads,
                   .head_dim = shape_.head_dim,
                   .dtype = shape_.kv};
  view.v_offset = static_cast<int64_t>(view.tile_bytes()) * shape_.kv_heads;
  view.block_bytes = 2 * view.v_offset;
  return view;
}

RaggedBatch ClusterFixture::batch_of(int rows, int sequences) const {
  RaggedBatch batch;
  batch.q_indptr = {0};
  batch.block_indptr = {0};
  for (int s = 0; s < sequences; ++s) {
    for (int r = 0; r < rows; ++r) {
      batch.token_ids.push_back(0);
      batch.positions.push_back(tokens() - rows + r);
    }
    batch.q_indptr.push_back(batch.num_tokens());
    batch.kv_lens.push_back(tokens());
    batch.blocks.insert(batch.blocks.end(), blocks_.begin(), blocks_.end());
    batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));
  }
  return batch;
}

void ClusterFixture::write() {
  std::vector<double> rows;
  const auto row_of = [&](const std::vector<double>& from, int heads, int t) {
    const int64_t width = int64_t{heads} * shape_.head_dim;
    rows.insert(rows.end(), from.begin() + t * width, from.begin() + (t + 1) * width);
  };
  for (int t = 0; t < tokens(); ++t) {
    row_of(queries, shape_.q_heads, t);
    row_of(keys, shape_.kv_heads, t);
    row_of(values, shape_.kv_heads, t);
  }
  qkv_.set(rows);
  const size_t table = static_cast<size_t>(tokens()) * static_cast<size_t>(shape_.head_dim / 2);
  const Buffer cos = upload(backend_, std::vector<float>(table, 1));
  const Buffer sin = upload(backend_, std::vector<float>(table, 0));
  const RaggedBatch batch = batch_of(tokens(), 1);
  const RaggedBatchView view = upload_batch(backend_, batch, uploads_);
  backend_.rope_append_kv(qkv_.view(), shape_.q_heads,
                          {.cos = cos.as<float>(),
                           .sin = sin.as<float>(),
                           .num_positions = tokens(),
                           .head_dim = shape_.head_dim},
                          view, kv());
  backend_.synchronize();
}

void ClusterFixture::cluster() {
  ClusterOps& ops = *backend_.cluster_ops();
  const auto length = static_cast<size_t>(shape_.clusters.length / kBlockTokens);
  const std::vector<BlockId> from(blocks_.begin(), blocks_.begin() + static_cast<int64_t>(length));
  std::vector<BlockId> to;
  for (BlockId b = 0; b < num_blocks_ && to.size() < length; ++b)
    if (std::ranges::find(blocks_, b) == blocks_.end()) to.push_back(b);
  ASSERT_EQ(to.size(), length);
  const Buffer from_device = upload(backend_, from), to_device = upload(backend_, to);
  ops.cluster_keys(clusters_, order_.as<int32_t>(), kv(), from_device.as<BlockId>(), /*seed=*/1);
  ops.move_kv(kv(), from_device.as<BlockId>(), to_device.as<BlockId>(), order_.as<int32_t>(),
              shape_.clusters);
  backend_.synchronize();
  std::ranges::copy(to, blocks_.begin());
}

// q rows of a step: the last tokens', once for each sequence.
TensorView ClusterFixture::last_queries(int rows, int sequences) {
  const int64_t width = int64_t{shape_.q_heads} * shape_.head_dim;
  const TensorView last = qkv_.view().columns(0, width).row_range(tokens() - rows, rows);
  if (sequences == 1) return last;
  uploads_.push_back(room(backend_, static_cast<size_t>(sequences * rows * width) * sizeof(float)));
  const TensorView all =
      TensorView::dense(uploads_.back().data(), DType::kF32, int64_t{sequences} * rows, width);
  std::vector<int32_t> indices(static_cast<size_t>(rows));
  std::iota(indices.begin(), indices.end(), 0);
  const Buffer device = upload(backend_, indices);
  for (int s = 0; s < sequences; ++s)
    backend_.gather_rows(all.row_range(int64_t{s} * rows, rows), last, device.as<int32_t>());
  backend_.synchronize();
  return all;
}

ClusterFixture::Selected ClusterFixture::select(int rows, const std::vector<ClusterQuery>& list) {
  uploads_.clear();
  const auto sequences = static_cast<int>(list.size());
  const RaggedBatch batch = batch_of(rows, sequences);
  const RaggedBatchView view = upload_batch(backend_, batch, uploads_);
  const auto tiles_each = static_cast<int32_t>(ceil_div(rows, kQueryTile));
  std::vector<int32_t> tile_indptr;
  for (int s = 0; s <= sequences; ++s) tile_indptr.push_back(s * tiles_each);
  tile_indptr_ = upload(backend_, tile_indptr);
  const SelectedRuns out{.tile_indptr = tile_indptr_.as<int32_t>(),
                         .run_indptr = run_indptr_.as<int32_t>(),
                         .runs = runs_.as<KvRun>(),
                         .stats = stats_.as<SelectionStats>(),
                         .max_runs = kMaxRuns};
  backend_.cluster_ops()->select_clusters(out, last_queries(rows, sequences), shape_.q_heads,
                                          scale(), view, shape_.kv_heads, list);
  backend_.synchronize();
  const auto lists = static_cast<size_t>(sequences * tiles_each * shape_.kv_heads);
  const auto indptr = read<int32_t>(backend_, run_indptr_, lists + 1);
  const auto runs = read<KvRun>(backend_, runs_, static_cast<size_t>(indptr.back()));
  Selected selected{.runs = {}, .stats = read<SelectionStats>(backend_, stats_, lists)};
  for (size_t i = 0; i < lists; ++i)
    selected.runs.emplace_back(runs.begin() + indptr[i], runs.begin() + indptr[i + 1]);
  return selected;
}

std::set<int> ClusterFixture::Selected::tokens(int list) const {
  std::set<int> slots;
  for (const KvRun& run : runs[list])
    for (int i = 0; i < run.len; ++i) slots.insert(run.start + i);
  return slots;
}

std::vector<double> ClusterFixture::attend(int rows, bool selected) {
  const RaggedBatch batch = batch_of(rows, 1);
  std::vector<Buffer> uploads;
  const RaggedBatchView view = upload_batch(backend_, batch, uploads);
  const KvRunsView runs{tile_indptr_.as<int32_t>(), run_indptr_.as<int32_t>(), runs_.as<KvRun>()};
  const TensorView q = last_queries(rows, 1);
  DeviceTensor out(backend_, DType::kF32, rows, q.cols);
  backend_.attend(out.view(), q, shape_.q_heads, {.scale = scale()}, view, kv(),
                  selected ? &runs : nullptr);
  return out.get();
}

std::vector<double> ClusterFixture::value_at(int slot) {
  const std::vector<int32_t> tile_indptr = {0, 1};
  std::vector<int32_t> run_indptr = {0};
  std::vector<KvRun> runs;
  for (int h = 0; h < shape_.kv_heads; ++h) {
    runs.push_back({slot, 1});
    run_indptr.push_back(h + 1);
  }
  tile_indptr_ = upload(backend_, tile_indptr);
  backend_.copy(run_indptr_.data(), run_indptr.data(), run_indptr.size() * sizeof(int32_t));
  backend_.copy(runs_.data(), runs.data(), runs.size() * sizeof(KvRun));
  backend_.synchronize();
  return attend(1, /*selected=*/true);
}

std::vector<double> ClusterFixture::log_scores(int rows, GroupScore group) {
  const Buffer histogram = room(backend_, kScoreBins * sizeof(double));
  backend_.cluster_ops()->add_log_scores(histogram.as<double>(), last_queries(rows, 1),
                                         shape_.q_heads, scale(), clusters_, group);
  return read<double>(backend_, histogram, kScoreBins);
}

std::vector<int32_t> ClusterFixture::order() const {
  return read<int32_t>(backend_, order_,
                       static_cast<size_t>(shape_.kv_heads * shape_.clusters.count));
}
std::vector<int32_t> ClusterFixture::begins() const {
  return read<int32_t>(backend_, begins_,
                       static_cast<size_t>(shape_.kv_heads * (shape_.clusters.num_clusters + 1)));
}
std::vector<int32_t> ClusterFixture::coarse_begins() const {
  return read<int32_t>(backend_, coarse_begins_,
                       static_cast<size_t>(shape_.kv_heads * (shape_.clusters.num_coarse + 1)));
}

}  // namespace sluice
