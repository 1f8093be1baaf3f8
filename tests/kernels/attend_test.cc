// rope_append_kv and attend, together as the model calls them: against a double-precision
// reference, and bit by bit against themselves in other batches, chunks and run lists.
#include <algorithm>

#include "tests/kernels/attend_fixture.h"
#include "tests/kernels/backends.h"

namespace sluice {
namespace {

class Attend : public KernelTest {
 protected:
  // kShapes that the backend is built for.
  std::vector<AttendShape> shapes() const;
  void expect_batch_invariant(const AttendShape& shape);
};
SLUICE_ON_EVERY_BACKEND(Attend);

constexpr AttendShape kShapes[] = {
    {.q_heads = 4, .kv_heads = 2, .head_dim = 64, .kv = DType::kBF16, .activations = DType::kF32},
    {.q_heads = 9, .kv_heads = 3, .head_dim = 64, .kv = DType::kBF16, .activations = DType::kBF16},
    {.q_heads = 4,
     .kv_heads = 1,
     .head_dim = 64,
     .kv = DType::kBF16,
     .activations = DType::kBF16,
     .padding = 3},
    {.q_heads = 2, .kv_heads = 2, .head_dim = 128, .kv = DType::kBF16, .activations = DType::kF32},
    {.q_heads = 8, .kv_heads = 2, .head_dim = 128, .kv = DType::kBF16, .activations = DType::kBF16},
    {.q_heads = 8, .kv_heads = 1, .head_dim = 64, .kv = DType::kF32, .activations = DType::kF32},
    {.q_heads = 3, .kv_heads = 1, .head_dim = 128, .kv = DType::kF32, .activations = DType::kF32},
    {.q_heads = 6, .kv_heads = 2, .head_dim = 96, .kv = DType::kBF16, .activations = DType::kBF16},
    {.q_heads = 4, .kv_heads = 2, .head_dim = 256, .kv = DType::kBF16, .activations = DType::kBF16},
    {.q_heads = 4, .kv_heads = 2, .head_dim = 96, .kv = DType::kF32, .activations = DType::kF32},
};

std::vector<AttendShape> Attend::shapes() const {
  std::vector<AttendShape> supported;
  for (const AttendShape& shape : kShapes) {
    if (backend().supports_head_dim(shape.head_dim)) supported.push_back(shape);
  }
  return supported;
}

TEST_P(Attend, WholePromptsMatchReference) {
  for (const AttendShape& shape : shapes()) {
    for (const int length : {1, 2, 63, 65, 130}) {
      SCOPED_TRACE(testing::Message() << shape << ", " << length << " tokens");
      AttendFixture fixture(backend(), shape, {length}, /*seed=*/length);
      const auto got = fixture.run({{0, length}});
      expect_close(got.values(), fixture.reference(0), fixture.tolerance());
    }
  }
}

TEST_P(Attend, DecodesChunksAndPromptsShareABatch) {
  for (const AttendShape& shape : shapes()) {
    SCOPED_TRACE(testing::Message() << shape);
    AttendFixture fixture(backend(), shape, {130, 1, 64, 77}, /*seed=*/5);
    fixture.write({{0, 129}, {2, 40}, {3, 13}});
    const auto got = fixture.run({{0, 1}, {1, 1}, {2, 24}, {3, 64}});
    std::vector<double> want;
    const int first[] = {129, 0, 40, 13};
    for (int s = 0; s < 4; ++s) {
      const auto all = fixture.reference(s);
      want.insert(want.end(), all.begin() + first[s] * shape.q_heads * shape.head_dim, all.end());
    }
    expect_close(got.values(), want, fixture.tolerance());
  }
}

// Long enough that a backend with many processors cuts the keys into parts and merges them: a chunk
// whose rows see different numbers of keys, a short one, a decode.
TEST_P(Attend, LongSequencesMatchReference) {
  const int length = backend().info().is_host ? 1300 : 2600;  // the CPU cuts at 1024
  for (const int head_dim : {64, 96, 128, 256}) {
    if (!backend().supports_head_dim(head_dim)) continue;
    if (backend().info().is_host && head_dim > 96) continue;  // no kernels of their own there
    const AttendShape shape{.q_heads = 4,
                            .kv_heads = 1,
                            .head_dim = head_dim,
                            .kv = DType::kBF16,
                            .activations = DType::kBF16};
    AttendFixture fixture(backend(), shape, {length}, /*seed=*/11);
    int done = length - 200 - 5 - 1;
    fixture.write({{0, done}});
    for (const int chunk : {200, 5, 1}) {
      SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << ", chunk of " << chunk);
      const int stride = std::max(1, chunk / 4);
      const auto got = fixture.run({{0, chunk}});
      const auto want = fixture.reference(0, {done, done + chunk, stride});
      expect_close(got.values(stride), want, fixture.tolerance());
      done += chunk;
    }
  }
}

// Windows of one key, inside a block, of a block, over several and over everything; blocks that lie
// outside hold NaN.
TEST_P(Attend, WindowsMatchReference) {
  const int windows[] = {1, 5, 64, 100, 1000};
  size_t turn = 0;  // on the CPU, whose shapes share their code, each takes one window
  for (AttendShape shape : shapes()) {
    for (size_t i = 0; i < (backend().info().is_host ? 1 : std::size(windows)); ++i) {
      shape.window = windows[turn++ % std::size(windows)];
      shape.soft_cap = shape.window == 64 ? 2.0F : 0.0F;
      SCOPED_TRACE(testing::Message() << shape);
      const std::vector<int> lengths = {330, 190, 140, 90};
      AttendFixture fixture(backend(), shape, lengths, /*seed=*/shape.window);
      fixture.write({{0, 329}, {1, 120}, {3, 83}});
      const std::vector<Chunk> chunks = {{0, 1}, {1, 70}, {2, 140}, {3, 7}};
      const auto got = fixture.run(chunks);
      std::vector<double> want;
      for (const Chunk& chunk : chunks) {
        const int end = lengths[chunk.sequence];
        const auto rows = fixture.reference(chunk.sequence, {end - chunk.tokens, end});
        want.insert(want.end(), rows.begin(), rows.end());
      }
      expect_close(got.values(), want, fixture.tolerance());
    }
  }
}

// Long enough that the window's keys are cut into parts as well.
TEST_P(Attend, LongWindowsMatchReference) {
  std::mt19937 rng(20261127);
  const bool host = backend().info().is_host;
  const int length = host ? 2300 : 4600;
  for (const int head_dim : {64, 128, 256}) {
    if (host && head_dim > 64) continue;  // no kernels of their own there
    const int window = length / 2 + static_cast<int>(rng() % 100);
    const AttendShape shape{.q_heads = 4,
                            .kv_heads = 1,
                            .head_dim = head_dim,
                            .kv = DType::kBF16,
                            .activations = DType::kBF16,
                            .window = window,
                            .soft_cap = 3};
    AttendFixture fixture(backend(), shape, {length}, /*seed=*/12);
    int done = length - 200 - 5 - 1;
    fixture.write({{0, done}});
    for (const int chunk : {200, 5, 1}) {
      SCOPED_TRACE(testing::Message() << shape << ", chunk of " << chunk);
      const int stride = std::max(1, chunk / 4);
      const auto got = fixture.run({{0, chunk}});
      const auto want = fixture.reference(0, {done, done + chunk, stride});
      expect_close(got.values(stride), want, fixture.tolerance());
      done += chunk;
    }
  }
}

TEST_P(Attend, SoftCapsMatchReference) {
  for (AttendShape shape : shapes()) {
    for (const float cap : {0.5F, 50.0F}) {
      shape.soft_cap = cap;
      SCOPED_TRACE(testing::Message() << shape);
      AttendFixture fixture(backend(), shape, {130, 77}, /*seed=*/6);
      fixture.write({{0, 129}});
      const auto got = fixture.run({{0, 1}, {1, 77}});
      auto want = fixture.reference(0, {129, 130});
      const auto rows = fixture.reference(1);
      want.insert(want.end(), rows.begin(), rows.end());
      expect_close(got.values(), want, fixture.tolerance());
    }
  }
}

void Attend::expect_batch_invariant(const AttendShape& shape) {
  constexpr int kLength = 1100;
  SCOPED_TRACE(testing::Message() << shape);
  AttendFixture alone(backend(), shape, {kLength}, /*seed=*/8);
  const auto whole = alone.run({{0, kLength}});

  AttendFixture chunked(backend(), shape, {kLength}, /*seed=*/8);
  std::vector<std::byte> rows;
  chunked.append(rows, chunked.run({{0, 1000}}));
  for (int done = 1000; done < kLength; done += std::min(7, kLength - done))
    chunked.append(rows, chunked.run({{0, std::min(7, kLength - done)}}));
  EXPECT_TRUE(rows == whole.bytes) << "in chunks of 7";

  AttendFixture batch(backend(), shape, {kLength, 300, 90}, /*seed=*/8);
  rows.clear();
  batch.append(rows, batch.run({{0, 1015}, {1, 200}}), 1015);
  for (int done = 1015; done < kLength; ++done)
    batch.append(rows, batch.run({{0, 1}, {1, 1}, {2, 1}}), 1);
  EXPECT_TRUE(rows == whole.bytes) << "decoded beside others";
}

// The same sequence whole, in chunks of 7, token by token, and beside others, across a segment
// boundary of the longest: every row the same bits; and so with a window that ends before it.
TEST_P(Attend, BatchInvariant) {
  if (!backend().batch_invariant()) GTEST_SKIP() << "not promised by this backend";
  for (const int window : {0, 40}) {
    AttendShape shape = kShapes[0];
    shape.window = window;
    expect_batch_invariant(shape);
  }
}

// Slots that no token of the sequence fills hold NaN: they must not reach any result.
TEST_P(Attend, IgnoresWhatStaleSlotsHold) {
  for (const AttendShape& shape : shapes()) {
    SCOPED_TRACE(testing::Message() << shape);
    AttendFixture clean(backend(), shape, {70, 3}, /*seed=*/4);
    AttendFixture poisoned(backend(), shape, {70, 3}, /*seed=*/4);
    poisoned.fill_arena(0xff);  // NaN in f32 and in bf16
    for (int done = 0; done < 70; done += 35) {
      const std::vector<Chunk> chunks =
          done == 0 ? std::vector<Chunk>{{0, 35}, {1, 3}} : std::vector<Chunk>{{0, 35}};
      const auto want = clean.run(chunks);
      const auto got = poisoned.run(chunks);
      for (const double value : got.values()) ASSERT_FALSE(std::isnan(value));
      EXPECT_TRUE(got.bytes == want.bytes);
    }
  }
}

TEST_P(Attend, RunsOfEverythingEqualNoRuns) {
  for (const AttendShape& shape : shapes()) {
    SCOPED_TRACE(testing::Message() << shape);
    AttendFixture fixture(backend(), shape, {200, 70, 300}, /*seed=*/6);
    fixture.write({{0, 60}, {2, 299}});
    const std::vector<Chunk> chunks = {{0, 140}, {1, 70}, {2, 1}};
    const auto dense = fixture.run(chunks);
    const auto expect_same = [&](const StepOutput& got) {
      if (backend().batch_invariant()) {
        EXPECT_TRUE(got.bytes == dense.bytes);
      } else {
        expect_close(got.values(), dense.values(), fixture.tolerance());
      }
    };
    expect_same(
        fixture.run_again(chunks, [](int, int, int) { return std::vector<KvRun>{{0, 1000}}; }));
    expect_same(fixture.run_again(chunks, [](int, int, int) {
      return std::vector<KvRun>{{0, 3}, {3, 61}, {64, 1}, {65, 935}};
    }));
  }
}

TEST_P(Attend, AnyRunsEqualAMaskedReference) {
  std::mt19937 rng(11);
  for (const AttendShape& shape : shapes()) {
    SCOPED_TRACE(testing::Message() << shape);
    constexpr int kLength = 210;
    AttendFixture fixture(backend(), shape, {kLength}, /*seed=*/9);
    fixture.write({{0, kLength}});
    RunLists lists;
    const auto runs_of = [&](int, int tile, int head) {
      std::vector<KvRun>& runs = lists[{tile, head}];
      if (!runs.empty() || rng() % 8 == 0) return runs;  // some lists are empty
      for (int at = static_cast<int>(rng() % 40); at < kLength;) {
        const int len = 1 + static_cast<int>(rng() % 90);
        runs.push_back({at, len});
        at += len + static_cast<int>(rng() % 70);
      }
      return runs;
    };
    const auto got = fixture.run_again({{0, kLength}}, runs_of);
    expect_close(got.values(), fixture.reference(0, {}, &lists), fixture.tolerance());
  }
}

// Lists of every kind over `length` keys, by turns.
std::vector<KvRun> runs_of_kind(int kind, int length, std::mt19937& rng) {
  const auto below = [&rng](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  std::vector<KvRun> runs;
  switch (kind % 6) {
    case 0:  // nothing
      break;
    case 1:  // everything, and beyond the end
      runs.push_back({0, length + 100});
      break;
    case 2:  // single keys, each in a swizzle phase of its own: more than 32 runs in 64 slots
      for (int at = below(9); at < length; at += 9) runs.push_back({at, 1});
      break;
    case 3:  // every other key: the most runs
      for (int at = below(2); at < length; at += 2) runs.push_back({at, 1});
      break;
    case 4:  // short runs
      for (int at = below(30), len = 0; at < length; at += len + 1 + below(60)) {
        len = 1 + below(30);
        runs.push_back({at, len});
      }
      break;
    default:  // one run inside a block, one over a few, one past the end
      runs = {{length / 5, 1 + length / 50}, {length / 2, 1 + length / 3}, {length, 64}};
  }
  return runs;
}

// Decodes, a chunk and a few rows, each with lists of its own, beside a dense sequence; long enough
// that lists are cut into parts.
TEST_P(Attend, RunListsOfAMixedBatchMatchReference) {
  std::mt19937 rng(20261125);
  const int longest = backend().info().is_host ? 1300 : 2600;  // the CPU cuts at 1024
  const std::vector<int> lengths = {longest, 1300, 700, 640, 9};
  const std::vector<Chunk> chunks = {{0, 1}, {1, 1}, {2, 70}, {3, 5}, {4, 2}};
  for (const AttendShape& shape : shapes()) {
    if (shape.activations != DType::kBF16 || shape.padding % 8 != 0) continue;
    if (backend().info().is_host && shape.head_dim != 64)
      continue;  // no kernels of their own there
    AttendFixture fixture(backend(), shape, lengths, /*seed=*/12);
    std::vector<Chunk> before;
    for (const Chunk& chunk : chunks)
      before.push_back({chunk.sequence, lengths[chunk.sequence] - chunk.tokens});
    fixture.write(before);
    fixture.write(chunks);
    const int rounds = backend().info().is_host ? 1 : 3;  // the CPU cuts every list the same way
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE(testing::Message() << shape << ", round " << round);
      std::vector<RunLists> lists(chunks.size());
      const auto runs_of = [&](int s, int tile, int head) {
        const int kind = s == 1 ? 1 : 2 * round + s + tile + head;
        return lists[s][{tile, head}] = runs_of_kind(kind, lengths[s], rng);
      };
      const auto got = fixture.run_again(chunks, runs_of);
      std::vector<double> want;
      for (size_t s = 0; s < chunks.size(); ++s) {
        const auto rows =
            fixture.reference(static_cast<int>(s), {lengths[s] - chunks[s].tokens}, &lists[s]);
        want.insert(want.end(), rows.begin(), rows.end());
      }
      expect_close(got.values(), want, fixture.tolerance());
      const auto again = fixture.run_again(
          chunks, [&](int s, int tile, int head) { return lists[s][{tile, head}]; });
      EXPECT_TRUE(again.bytes == got.bytes) << "not the same twice";
    }
  }
}

TEST_P(Attend, WindowsCutRunLists) {
  std::mt19937 rng(20261128);
  const std::vector<int> lengths = {1300, 400, 640, 9};
  const std::vector<Chunk> chunks = {{0, 1}, {1, 70}, {2, 5}, {3, 2}};
  for (AttendShape shape : shapes()) {
    if (backend().info().is_host && shape.head_dim != 64)
      continue;  // no kernels of their own there
    for (const int window : {30, 300, 1299}) {
      if (backend().info().is_host && window != 300) continue;
      shape.window = window;
      SCOPED_TRACE(testing::Message() << shape);
      AttendFixture fixture(backend(), shape, lengths, /*seed=*/13);
      std::vector<Chunk> before;
      for (const Chunk& chunk : chunks)
        before.push_back({chunk.sequence, lengths[chunk.sequence] - chunk.tokens});
      fixture.write(before);
      fixture.write(chunks);
      std::vector<RunLists> lists(chunks.size());
      const auto got = fixture.run_again(chunks, [&](int s, int tile, int head) {
        return lists[s][{tile, head}] =
                   runs_of_kind(s == 0 ? 2 + head : tile + head, lengths[s], rng);
      });
      std::vector<double> want;
      for (size_t s = 0; s < chunks.size(); ++s) {
        const auto rows =
            fixture.reference(static_cast<int>(s), {lengths[s] - chunks[s].tokens}, &lists[s]);
        want.insert(want.end(), rows.begin(), rows.end());
      }
      expect_close(got.values(), want, fixture.tolerance());
    }
  }
}

TEST_P(Attend, RowsWithoutKeysAreZero) {
  const AttendShape shape = kShapes[0];
  AttendFixture fixture(backend(), shape, {5}, /*seed=*/2);
  fixture.write({{0, 5}});
  const auto got = fixture.run_again({{0, 5}}, [](int, int, int) {
    return std::vector<KvRun>{{3, 9}};  // rows 0 to 2 see none of it
  });
  const auto values = got.values();
  const int row = shape.q_heads * shape.head_dim;
  for (int i = 0; i < 3 * row; ++i) EXPECT_EQ(values[i], 0);
  EXPECT_NE(values[3 * row], 0);
}

}  // namespace
}  // namespace sluice
