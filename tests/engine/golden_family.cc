// Reading goldens, writing their models, computing their logits.
#include "golden_family.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/runner/batch_upload.h"
#include "kvcache/kv_storage.h"

namespace sluice {

using nlohmann::json;

namespace {

// Below the working directory where the program was brought to another machine.
std::string folder() {
  const std::string local = "tests/families/";
  return std::filesystem::exists(local) ? local : std::string(SLUICE_SOURCE_DIR) + "/" + local;
}

// The twin of weight() in make_families.py: multiples of 1/64 in [-1/4, 1/4].
std::vector<float> formula(const std::string& name, int64_t count, float addend) {
  uint64_t seed = 0xcbf29ce484222325;
  for (const char c : name) seed = (seed ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    values.push_back(static_cast<float>(z % 33) / 64 - 0.25F + addend);
  }
  return values;
}

}  // namespace

json read_json(const std::string& name) {
  std::ifstream in(folder() + name);
  return json::parse(in);
}

SourceTensors tensors_of(const json& golden) {
  SourceTensors tensors;
  for (const auto& [name, shape] : golden["tensors"].items()) {
    SourceTensor& tensor = tensors[name];
    tensor.shape = shape.get<std::vector<int64_t>>();
    int64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= extent;
    const bool is_gain = name.find("norm") != std::string::npos && !golden["norms_add_one"];
    tensor.values = formula(name, count, is_gain ? 1 : 0);
  }
  return tensors;
}

void write_model(const TempDir& dir, const json& golden) {
  dir.write("config.json", golden["config"].dump());
  dir.write("model.safetensors", safetensors(tensors_of(golden), DType::kF32));
}

std::vector<std::vector<float>> logits_of(Backend& backend, const DecoderModel& model,
                                          const json& golden, int chunk) {
  const auto prompt = golden["prompt"].get<std::vector<TokenId>>();
  const auto positions = golden["positions"].get<std::vector<int>>();
  const int blocks = static_cast<int>(ceil_div(static_cast<int64_t>(prompt.size()), kBlockTokens));
  const KvStorage storage =
      KvStorage::create(backend, model.kv_layout(DType::kF32), blocks).value();
  Workspace workspace = model.make_workspace(chunk, chunk).value();
  BatchUpload upload = BatchUpload::create(backend, chunk, 1, blocks).value();
  const int64_t vocab = model.config().vocab_size;
  DenseAttention attention;
  std::vector<std::vector<float>> out;
  const int length = static_cast<int>(prompt.size());
  for (int first = 0; first < length; first += chunk) {
    RaggedBatch batch;
    const int last = std::min(first + chunk, length);
    for (int p = first; p < last; ++p) {
      batch.token_ids.push_back(prompt[p]);
      batch.positions.push_back(p);
    }
    batch.q_indptr = {0, last - first};
    batch.kv_lens = {last};
    for (int b = 0; b < ceil_div(last, kBlockTokens); ++b) batch.blocks.push_back(b);
    batch.block_indptr = {0, static_cast<int32_t>(batch.blocks.size())};
    for (const int p : positions)
      if (p >= first && p < last) batch.logit_rows.push_back(p - first);
    if (batch.logit_rows.empty()) batch.logit_rows.push_back(0);
    const ProductInput states = model.forward(upload.place(batch), storage, attention, workspace);
    const auto rows = static_cast<size_t>(states.values.rows);
    const size_t bytes = rows * static_cast<size_t>(vocab) * sizeof(float);
    const Buffer device = backend.allocate(bytes, Memory::kDevice).value();
    const Buffer host = backend.allocate(bytes, Memory::kHost).value();
    const int64_t count = states.values.rows;
    model.lm_head(TensorView::dense(device.data(), DType::kF32, count, vocab), states);
    backend.copy(host.data(), device.data(), bytes);
    backend.synchronize();
    for (size_t r = 0; r < rows; ++r) {
      const int position = first + batch.logit_rows[r];
      if (std::find(positions.begin(), positions.end(), position) == positions.end()) continue;
      const float* row = host.as<float>() + r * static_cast<size_t>(vocab);
      out.emplace_back(row, row + vocab);
    }
  }
  return out;
}

}  // namespace sluice
