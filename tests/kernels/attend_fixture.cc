#include "tests/kernels/attend_fixture.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace sluice {

std::ostream& operator<<(std::ostream& out, const AttendShape& shape) {
  return out << shape.q_heads << " / " << shape.kv_heads << " heads of " << shape.head_dim
             << ", kv " << short_name(shape.kv) << ", activations " << short_name(shape.activations)
             << ", rows " << shape.padding << " elements apart, window " << shape.window
             << ", soft cap " << shape.soft_cap;
}

std::vector<double> StepOutput::values(int stride) const {
  std::vector<double> all;
  for (size_t i = 0; i < bytes.size() / size_of(dtype); ++i) {
    if (static_cast<int64_t>(i) / row_width % stride != 0) continue;
    float value = 0;
    BF16 narrow;
    if (dtype == DType::kF32) {
      std::memcpy(&value, &bytes[i * sizeof(float)], sizeof(float));
    } else {
      std::memcpy(&narrow, &bytes[i * sizeof(BF16)], sizeof(BF16));
      value = to_float(narrow);
    }
    all.push_back(value);
  }
  return all;
}

AttendFixture::AttendFixture(Backend& backend, AttendShape shape, std::vector<int> lengths,
                             uint32_t seed)
    : backend_(backend), shape_(shape), sequences_(lengths.size()) {
  for (size_t s = 0; s < lengths.size(); ++s) {
    std::mt19937 rng(seed * 1000 + static_cast<uint32_t>(s));
    sequences_[s].tokens = lengths[s];
    sequences_[s].qkv = random_values(int64_t{lengths[s]} * row_width(), shape.activations, rng);
    num_positions_ = std::max(num_positions_, lengths[s]);
  }
  // Blocks in an order of their own, one unused block between any two.
  for (int round = 0, more = 1; more > 0; ++round) {
    more = 0;
    for (Sequence& sequence : sequences_) {
      if (round * kBlockTokens >= sequence.tokens) continue;
      sequence.blocks.push_back(num_blocks_);
      num_blocks_ += 2;
      ++more;
    }
  }
  for (Sequence& sequence : sequences_)
    std::reverse(sequence.blocks.begin(), sequence.blocks.end());
  const int half = shape.head_dim / 2;
  for (int p = 0; p < num_positions_; ++p) {
    for (int i = 0; i < half; ++i) {
      const double angle = p * std::pow(10000.0, -static_cast<double>(i) / half);
      cos_.push_back(static_cast<float>(std::cos(angle)));
      sin_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  cos_device_ = upload(backend_, cos_);
  sin_device_ = upload(backend_, sin_);
  const KvCacheView kv = kv_view();
  arena_ =
      backend_.allocate(static_cast<size_t>(num_blocks_ * kv.block_bytes), Memory::kDevice).value();
  fill_arena(shape.window > 0 ? 0xff : 0);
  for (Sequence& sequence : sequences_) rotate(sequence);
}

AttendOptions AttendFixture::options() const {
  return {.scale = 4 / std::sqrt(static_cast<float>(shape_.head_dim)),
          .window = shape_.window,
          .soft_cap = shape_.soft_cap};
}

void AttendFixture::fill_arena(unsigned char byte) {
  const std::vector<unsigned char> bytes(arena_.bytes(), byte);
  backend_.copy(arena_.data(), bytes.data(), bytes.size());
  backend_.synchronize();
}

KvCacheView AttendFixture::kv_view() const {
  KvCacheView kv;
  kv.num_kv_heads = shape_.kv_heads;
  kv.head_dim = shape_.head_dim;
  kv.dtype = shape_.kv;
  const auto tiles = static_cast<int64_t>(kv.tile_bytes()) * shape_.kv_heads;
  kv.arena = arena_.as<std::byte>();
  kv.block_bytes = 2 * tiles + 128;  // as if other layers lay around
  kv.k_offset = 64;
  kv.v_offset = 64 + tiles;
  return kv;
}

void AttendFixture::rotate(Sequence& sequence) const {
  sequence.rotated = sequence.qkv;
  const int half = shape_.head_dim / 2;
  for (int t = 0; t < sequence.tokens; ++t) {
    for (int h = 0; h < shape_.q_heads + shape_.kv_heads; ++h) {
      double* x = &sequence.rotated[static_cast<size_t>(t * row_width() + h * shape_.head_dim)];
      for (int i = 0; i < half; ++i) {
        const double c = cos_[t * half + i], s = sin_[t * half + i];
        const double low = x[i], high = x[i + half];
        x[i] = low * c - high * s;
        x[i + half] = high * c + low * s;
      }
    }
    for (int i = shape_.q_heads * shape_.head_dim; i < row_width(); ++i) {
      double& cached = sequence.rotated[static_cast<size_t>(t * row_width() + i)];
      cached = rounded(cached, shape_.kv);
    }
  }
}

RaggedBatch AttendFixture::batch_of(const std::vector<Chunk>& chunks,
                                    std::vector<double>& qkv) const {
  RaggedBatch batch;
  batch.q_indptr = {0};
  batch.block_indptr = {0};
  for (const Chunk& chunk : chunks) {
    const Sequence& sequence = sequences_[chunk.sequence];
    const int first = sequence.done - chunk.tokens;
    for (int t = 0; t < chunk.tokens; ++t) {
      batch.token_ids.push_back(0);
      batch.positions.push_back(first + t);
    }
    qkv.insert(qkv.end(), sequence.qkv.begin() + int64_t{first} * row_width(),
               sequence.qkv.begin() + int64_t{sequence.done} * row_width());
    batch.q_indptr.push_back(batch.num_tokens());
    batch.kv_lens.push_back(sequence.done);
    batch.blocks.insert(batch.blocks.end(), sequence.blocks.begin(), sequence.blocks.end());
    batch.block_indptr.push_back(static_cast<int32_t>(batch.blocks.size()));
  }
  batch.validate(num_blocks_, 1);
  return batch;
}

StepOutput AttendFixture::run(const std::vector<Chunk>& chunks) {
  return attend(write(chunks), nullptr);
}

RaggedBatch AttendFixture::write(const std::vector<Chunk>& chunks) {
  for (const Chunk& chunk : chunks) sequences_[chunk.sequence].done += chunk.tokens;
  std::vector<double> qkv;
  RaggedBatch batch = batch_of(chunks, qkv);
  qkv_ = std::make_unique<DeviceTensor>(backend_, shape_.activations, batch.num_tokens(),
                                        row_width(), shape_.padding);
  qkv_->set(qkv);
  uploads_.clear();
  const RaggedBatchView view = upload_batch(backend_, batch, uploads_);
  const RopeTable rope{cos_device_.as<float>(), sin_device_.as<float>(), num_positions_,
                       shape_.head_dim};
  backend_.rope_append_kv(qkv_->view(), shape_.q_heads, rope, view, kv_view());
  qkv_->check_guards();
  return batch;
}

StepOutput AttendFixture::run_again(const std::vector<Chunk>& chunks, const RunsOf& runs_of) {
  std::vector<double> unused;
  const RaggedBatch batch = batch_of(chunks, unused);
  std::vector<int32_t> tile_indptr = {0}, run_indptr = {0};
  std::vector<KvRun> runs;
  for (size_t s = 0; s < chunks.size(); ++s) {
    const int tiles = static_cast<int>(ceil_div(chunks[s].tokens, kQueryTile));
    for (int tile = 0; tile < tiles; ++tile) {
      for (int head = 0; head < shape_.kv_heads; ++head) {
        for (const KvRun& run : runs_of(static_cast<int>(s), tile, head)) runs.push_back(run);
        run_indptr.push_back(static_cast<int32_t>(runs.size()));
      }
    }
    tile_indptr.push_back(tile_indptr.back() + tiles);
  }
  const Buffer tiles = upload(backend_, tile_indptr), spans = upload(backend_, run_indptr),
               all = upload(backend_, runs);
  const KvRunsView view{tiles.as<int32_t>(), spans.as<int32_t>(), all.as<KvRun>()};
  return attend(batch, &view);
}

StepOutput AttendFixture::attend(RaggedBatch batch, const KvRunsView* runs) {
  for (int s = 0; s < batch.num_seqs(); ++s) {
    const int done = batch.kv_lens[s] - (batch.q_indptr[s + 1] - batch.q_indptr[s]);
    const int passed = first_visible(done, shape_.window) / kBlockTokens;
    for (int i = 0; i < passed; ++i) ++batch.blocks[batch.block_indptr[s] + i];  // an unused one
  }
  const int64_t width = int64_t{shape_.q_heads} * shape_.head_dim;
  DeviceTensor out(backend_, shape_.activations, batch.num_tokens(), width, shape_.padding);
  std::vector<Buffer> uploads;
  const RaggedBatchView view = upload_batch(backend_, batch, uploads);
  backend_.attend(out.view(), qkv_->view().columns(0, width), shape_.q_heads, options(), view,
                  kv_view(), runs);
  StepOutput step{shape_.activations, out.dense_bytes(), width};
  out.check_guards();
  return step;
}

void AttendFixture::append(std::vector<std::byte>& to, const StepOutput& step, int rows) const {
  const size_t row_bytes =
      static_cast<size_t>(shape_.q_heads * shape_.head_dim) * size_of(shape_.activations);
  const size_t count = rows < 0 ? step.bytes.size() : static_cast<size_t>(rows) * row_bytes;
  to.insert(to.end(), step.bytes.begin(), step.bytes.begin() + static_cast<int64_t>(count));
}

std::vector<double> AttendFixture::reference(int index, RowRange rows, const RunLists* runs) const {
  const Sequence& sequence = sequences_[index];
  const int d = shape_.head_dim;
  const int group = shape_.q_heads / shape_.kv_heads;
  std::vector<double> out;
  for (int t = rows.first; t < std::min(rows.end, sequence.tokens); t += rows.stride) {
    for (int h = 0; h < shape_.q_heads; ++h) {
      const int g = h / group;
      std::vector<char> seen(t + 1, runs == nullptr);
      if (runs != nullptr) {
        const auto list = runs->find({(t - rows.first) / kQueryTile, g});
        for (const KvRun& run : list == runs->end() ? std::vector<KvRun>() : list->second) {
          for (int key = run.start; key < std::min(run.start + run.len, t + 1); ++key)
            seen[key] = 1;
        }
      }
      const double* q = &sequence.rotated[static_cast<size_t>(t * row_width() + h * d)];
      std::vector<double> values(d, 0);
      double sum = 0;
      for (int key = first_visible(t, shape_.window); key <= t; ++key) {
        if (!seen[key]) continue;
        const double* k =
            &sequence.rotated[static_cast<size_t>(key * row_width() + (shape_.q_heads + g) * d)];
        const double* v = k + shape_.kv_heads * d;
        double dot = 0;
        for (int i = 0; i < d; ++i) dot += q[i] * k[i];
        dot *= options().scale;
        if (shape_.soft_cap > 0) dot = shape_.soft_cap * std::tanh(dot / shape_.soft_cap);
        const double p = std::exp(dot);
        sum += p;
        for (int i = 0; i < d; ++i) values[i] += p * v[i];
      }
      for (const double value : values) out.push_back(sum > 0 ? value / sum : 0);
    }
  }
  return out;
}

}  // namespace sluice
