// The golden models of tests/families: their configs, weights by formula, and logits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint_writer.h"
#include "engine/model/model_loader.h"

namespace sluice {

nlohmann::json read_json(const std::string& name);
inline nlohmann::json read_golden(const std::string& family) { return read_json(family + ".json"); }

// Weights as a directory has them.
SourceTensors tensors_of(const nlohmann::json& golden);
// config.json and model.safetensors.
void write_model(const TempDir& dir, const nlohmann::json& golden);

// The logits of the golden's positions, the prompt computed in steps of at most `chunk` tokens.
std::vector<std::vector<float>> logits_of(Backend& backend, const DecoderModel& model,
                                          const nlohmann::json& golden, int chunk);

}  // namespace sluice
