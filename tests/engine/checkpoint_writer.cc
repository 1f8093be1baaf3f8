// The other direction of engine/model's readers.
#include "checkpoint_writer.h"

#include <unistd.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>

namespace sluice {
namespace {

using nlohmann::json;

constexpr int kVocab = 40;
constexpr int kHidden = 32;
constexpr int kIntermediate = 48;
constexpr int kLayers = 2;
constexpr int kQWidth = 2 * 64;
constexpr int kKvWidth = 1 * 64;

// Exact for the multiples of 1/64 that tiny_tensors makes; no subnormals, no rounding.
uint16_t to_half(float x) {
  if (x == 0) return 0;
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t exponent = ((bits >> 23) & 0xffU) - 112;
  return static_cast<uint16_t>((bits >> 16 & 0x8000U) | exponent << 10 | (bits >> 13 & 0x3ffU));
}

void append_value(std::string& data, float value, DType dtype) {
  char bytes[4];
  const uint16_t half = dtype == DType::kBF16 ? to_bf16(value).bits : to_half(value);
  if (dtype == DType::kF32) {
    std::memcpy(bytes, &value, 4);
  } else {
    std::memcpy(bytes, &half, 2);
  }
  data.append(bytes, size_of(dtype));
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot create " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;  // a leftover directory fails no test
  std::filesystem::remove_all(path_, ignored);
}

void TempDir::write(const std::string& name, const std::string& content) const {
  std::ofstream out(path_ / name, std::ios::binary);
  out << content;
  if (!out.flush()) throw std::runtime_error("cannot write " + file(name));
}

std::string raw_safetensors(const std::string& header, size_t data_bytes) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xffU);
  return out + header + std::string(data_bytes, '\0');
}

std::string safetensors(const SourceTensors& tensors, DType dtype, bool misalign) {
  const char* names[] = {"F32", "BF16", "F16"};
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    for (const float value : tensor.values) append_value(data, value, dtype);
    header[name] = {{"dtype", names[static_cast<int>(dtype)]},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  while (text.size() % 8 != (misalign ? 1 : 0)) text += ' ';
  return raw_safetensors(text, 0) + data;
}

std::string tiny_config(bool tied) {
  return json({{"architectures", {"LlamaForCausalLM"}},
               {"vocab_size", kVocab},
               {"hidden_size", kHidden},
               {"intermediate_size", kIntermediate},
               {"num_hidden_layers", kLayers},
               {"num_attention_heads", 2},
               {"num_key_value_heads", 1},
               {"head_dim", 64},
               {"max_position_embeddings", 512},
               {"rms_norm_eps", 1e-5},
               {"tie_word_embeddings", tied},
               {"torch_dtype", "float32"},
               {"eos_token_id", 2}})
      .dump();
}

SourceTensors tiny_tensors(bool tied, uint64_t seed) {
  std::mt19937_64 random(seed);
  SourceTensors tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = (static_cast<float>(random() % 33) - 16) / 64;
    tensors[name] = {std::move(shape), std::move(values)};
  };
  add("model.embed_tokens.weight", {kVocab, kHidden});
  for (int i = 0; i < kLayers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {kHidden});
    add(layer + "self_attn.q_proj.weight", {kQWidth, kHidden});
    add(layer + "self_attn.k_proj.weight", {kKvWidth, kHidden});
    add(layer + "self_attn.v_proj.weight", {kKvWidth, kHidden});
    add(layer + "self_attn.o_proj.weight", {kHidden, kQWidth});
    add(layer + "post_attention_layernorm.weight", {kHidden});
    add(layer + "mlp.gate_proj.weight", {kIntermediate, kHidden});
    add(layer + "mlp.up_proj.weight", {kIntermediate, kHidden});
    add(layer + "mlp.down_proj.weight", {kHidden, kIntermediate});
  }
  add("model.norm.weight", {kHidden});
  if (!tied) add("lm_head.weight", {kVocab, kHidden});
  return tensors;
}

void write_tiny_model(const TempDir& dir, DType dtype, bool tied, bool misalign) {
  dir.write("config.json", tiny_config(tied));
  dir.write("model.safetensors", safetensors(tiny_tensors(tied, 1), dtype, misalign));
}

void write_sharded_tiny_model(const TempDir& dir, DType dtype) {
  dir.write("config.json", tiny_config(true));
  SourceTensors shards[2];
  json weight_map;
  const std::string files[] = {"model-1-of-2.safetensors", "model-2-of-2.safetensors"};
  int next = 0;
  for (const auto& [name, tensor] : tiny_tensors(true, 1)) {
    weight_map[name] = files[next];
    shards[next][name] = tensor;
    next = 1 - next;
  }
  for (int i = 0; i < 2; ++i) dir.write(files[i], safetensors(shards[i], dtype));
  dir.write("model.safetensors.index.json", json({{"weight_map", weight_map}}).dump());
}

}  // namespace sluice
