// The body of the fuzz target for a model's files; the replay test calls it too.
#pragma once

#include <cstddef>
#include <span>

namespace sluice {

// 's' + a safetensors file, 'u' + a GGUF file, 'c' + a config.json, 'g' + a generation_config.json;
// anything else is ignored. Aborts when a reader accepts what it should not.
void read_model_file(std::span<const std::byte> input);

}  // namespace sluice
