// A few sequences with random q, k, v for every token, a block arena with its blocks scattered, and
// the reference in double: what attend_test.cc drives step by step.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "tests/kernels/tensors.h"

namespace sluice {

struct AttendShape {
  int q_heads, kv_heads, head_dim;
  DType kv, activations;
  int padding = 8;  // elements between the rows of q and of out: 8 keeps them 16-byte aligned
  int window = 0;
  float soft_cap = 0;
};
std::ostream& operator<<(std::ostream& out, const AttendShape& shape);

// The next `tokens` tokens of sequence `sequence`.
struct Chunk {
  int sequence, tokens;
};

// Every `stride`-th row of [first, end).
struct RowRange {
  int first = 0;
  int end = INT32_MAX;  // at most the sequence's
  int stride = 1;
};

// Run lists of a sequence's rows by (query tile, KV head); tiles count from the first row asked
// for.
using RunLists = std::map<std::pair<int, int>, std::vector<KvRun>>;
// (sequence's place in the batch, query tile, KV head) -> its runs.
using RunsOf = std::function<std::vector<KvRun>(int, int, int)>;

// The out rows of a step, densely.
struct StepOutput {
  DType dtype;
  std::vector<std::byte> bytes;
  int64_t row_width;
  std::vector<double> values(int stride = 1) const;  // of every `stride`-th row
};

class AttendFixture {
 public:
  // `lengths`: tokens of each sequence. Sequence i's data depend on (seed, i) only. With a window,
  // attend() is given blocks of NaN for those that lie outside.
  AttendFixture(Backend& backend, AttendShape shape, std::vector<int> lengths, uint32_t seed);

  void fill_arena(unsigned char byte);
  // rope_append_kv alone of the chunks; moves their sequences forward.
  RaggedBatch write(const std::vector<Chunk>& chunks);
  // rope_append_kv and attend of the chunks as one step.
  StepOutput run(const std::vector<Chunk>& chunks);
  // attend alone, of chunks that the latest run() ended with, cut to runs.
  StepOutput run_again(const std::vector<Chunk>& chunks, const RunsOf& runs_of);
  // Appends the first `rows` out rows of a step (all when < 0).
  void append(std::vector<std::byte>& to, const StepOutput& step, int rows = -1) const;

  // Out rows of a whole sequence in double, cut to `runs` where not null.
  std::vector<double> reference(int sequence, RowRange rows = {},
                                const RunLists* runs = nullptr) const;
  // A soft cap's tanh errs by 4 u of it, which is an error of a logit.
  Tolerance tolerance() const {
    Tolerance all = attend_tolerance(shape_.kv, shape_.activations, backend_.info().activations, 1);
    all.absolute += 4 * kU * shape_.soft_cap;
    return all;
  }

 private:
  struct Sequence {
    std::vector<double> qkv;  // [tokens, heads * head_dim], before rotation
    std::vector<double> rotated;
    std::vector<BlockId> blocks;
    int tokens = 0;
    int done = 0;
  };

  int row_width() const { return (shape_.q_heads + 2 * shape_.kv_heads) * shape_.head_dim; }
  AttendOptions options() const;
  void rotate(Sequence& sequence) const;
  RaggedBatch batch_of(const std::vector<Chunk>& chunks, std::vector<double>& qkv) const;
  StepOutput attend(RaggedBatch batch, const KvRunsView* runs);
  KvCacheView kv_view() const;

  Backend& backend_;
  AttendShape shape_;
  std::vector<Sequence> sequences_;
  int num_blocks_ = 0;
  int num_positions_ = 0;
  std::vector<float> cos_, sin_;
  Buffer arena_, cos_device_, sin_device_;
  std::vector<Buffer> uploads_;        // of the batch under way
  std::unique_ptr<DeviceTensor> qkv_;  // of the latest run()
};

}  // namespace sluice
