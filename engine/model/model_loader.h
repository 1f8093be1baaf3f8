// Loading: from a directory (or a shape alone) to a DecoderModel whose weights a Backend holds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "engine/model/decoder_model.h"
#include "engine/model/model_config.h"
#include "kernels/backend.h"

namespace sluice {

struct ModelOptions {
  // The model's directory or GGUF file; with dummy weights a JSON file will do.
  std::string path{};
  bool dummy_weights = false;    // seeded random weights instead of the checkpoint's
  std::optional<DType> dtype{};  // of the weights: kF32 or kBF16; absent: the checkpoint's
  uint64_t seed = 0;             // of dummy weights
  int64_t max_model_len = 0;     // positions the rotary tables serve; 0: config.max_position
};

// Element type that the weights get: options.dtype, else the checkpoint's, where float16 becomes
// bfloat16.
DType weight_dtype(const ModelOptions& options, const ModelConfig& config);

// Loads every weight; blocks until the backend holds them. Peak host memory beyond the backend's
// own copy is about one tensor. Errors name file, tensor, what was expected and what was found;
// tensors that the model does not use are named in one warning.
Result<std::unique_ptr<DecoderModel>> load_decoder_model(const ModelOptions& options,
                                                         const ModelConfig& config,
                                                         Backend& backend);

}  // namespace sluice
