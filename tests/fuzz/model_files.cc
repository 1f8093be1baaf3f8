// One entry for what strangers put into a model's directory: a safetensors or GGUF file, a
// config.json, a generation_config.json. The first byte chooses the reader.
#include "model_files.h"

#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/model/gguf_model.h"
#include "engine/model/model_config.h"
#include "engine/model/safetensors.h"

namespace sluice {
namespace {

// What a reader accepts must be usable: a bug here is a crash for the fuzzer and a failed test.
void require(bool condition) {
  if (!condition) std::abort();
}

void read_safetensors(std::span<const std::byte> bytes) {
  const Result<SafetensorsHeader> header = parse_safetensors(bytes, "f");
  if (!header.ok()) return;
  uint64_t covered = 0;
  for (const TensorEntry& tensor : header->tensors) {
    require(tensor.begin == covered && tensor.end >= tensor.begin);
    covered = tensor.end;
  }
  require(header->data_offset + covered == bytes.size());
}

void read_config(std::string_view text) {
  const Result<ModelConfig> config = parse_model_config(text, "f");
  if (!config.ok()) return;
  require(config->validate().ok() && config->num_parameters() > 0);
  for (const double frequency : rope_frequencies(config->rope, config->rotating()))
    require(std::isfinite(frequency));
}

void read_generation_config(std::string_view text) {
  ModelConfig config;
  config.vocab_size = 100;
  config.hidden_size = config.intermediate_size = config.head_dim = 64;
  config.num_layers = config.num_heads = config.num_kv_heads = 1;
  config.max_position = 64;
  require(config.validate().ok());
  if (parse_generation_config(text, "f", config).ok()) require(config.validate().ok());
}

void read_gguf(std::span<const std::byte> bytes) {
  const Result<GgufHeader> header = parse_gguf(bytes, "f");
  if (!header.ok()) return require(header.status().message().starts_with("f: "));
  for (const auto& [name, tensor] : header->tensors) {
    const GgmlBlock block = block_of(tensor.type);
    const auto blocks = static_cast<int64_t>(tensor.bytes.size()) / block.bytes;
    std::vector<float> values(static_cast<size_t>(blocks * block.values));
    dequantize(tensor.type, tensor.bytes, values);
  }
  const Result<ModelConfig> config = gguf_model_config(header.value(), "f");
  if (config.ok()) require(config->validate().ok());
}

}  // namespace

void read_model_file(std::span<const std::byte> input) {
  if (input.empty()) return;
  const std::span<const std::byte> rest = input.subspan(1);
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
  switch (std::to_integer<char>(input[0])) {
    case 's':
      return read_safetensors(rest);
    case 'u':
      return read_gguf(rest);
    case 'c':
      return read_config(text);
    case 'g':
      return read_generation_config(text);
    default:
      return;
  }
}

}  // namespace sluice
