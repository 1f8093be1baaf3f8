// A config.json's RoPE: rope_theta and rope_scaling, or transformers 5's rope_parameters.
#pragma once

#include "engine/model/config_fields.h"
#include "engine/model/model_config.h"

namespace sluice {

// Fills in rope, local_rope and rotary_dim, and limits or extends max_position, all of which may
// depend on head_dim and max_position: those come first. Refuses kinds that it does not know.
void read_ropes(ConfigFields& fields, ModelConfig& config);

}  // namespace sluice
