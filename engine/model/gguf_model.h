// A model out of one GGUF file: its shape, and its weights as floats.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/status.h"
#include "engine/model/families.h"
#include "engine/model/gguf.h"
#include "engine/model/model_config.h"
#include "engine/model/weight_source.h"

namespace sluice {

// The shape that the metadata and the tensors describe, validated. Refuses architectures that the
// table at the end of gguf_families.cc does not have, and features that the forward pass does not.
Result<ModelConfig> gguf_model_config(const GgufHeader& header, const std::string& file);
// The same of the file at `path`.
Result<ModelConfig> read_gguf_config(const std::string& path);

// Whether rows 2 i and 2 i + 1 of a head of q and k rotate together in this file, as converters of
// some architectures write them; else i and i + head_dim / 2 do.
bool gguf_pairs_are_neighbours(const GgufHeader& header);
// Tensors that gguf_model_config reads.
std::set<std::string> gguf_rope_tensors();

// How a GGUF file names the parameters.
WeightNames gguf_weight_names();

// Opens the file's weights. Blocks become floats of `dtype` (kF32 or kBF16) one matrix at a time;
// rows of q and k go back to the order in which halves of a head are rotated together.
Result<std::unique_ptr<WeightSource>> open_gguf_weights(const std::string& path,
                                                        const ModelConfig& config, Backend& backend,
                                                        DType dtype);

}  // namespace sluice
