// What a model has in float32 beside its matrices: rotary tables, norms, biases.
#pragma once

#include <vector>

#include "base/status.h"
#include "engine/model/decoder_model.h"
#include "engine/model/families.h"
#include "engine/model/model_config.h"
#include "engine/model/weight_source.h"
#include "kernels/backend.h"

namespace sluice {

// Where only some elements of a head rotate, in pairs (i, i + rotary_dim / 2): the order of a
// head's elements that makes them the pairs (i, i + head_dim / 2) of the kernels. Dot products do
// not see an order that q and k share. Empty: as they are.
std::vector<RowRange> rotary_order(const ModelConfig& config);

// Fills in the tables of `positions` positions that the model's layers use. Angles are computed in
// double: at position 10^5 a float angle is off by several thousandths.
Status load_ropes(const ModelConfig& config, int64_t positions, Backend& backend,
                  DecoderWeights& weights);

// Fills in the norms and biases of the layers, which exist already, and the final norm. Scalings
// that commute with a norm are multiplied into it here.
Status load_vectors(const ModelConfig& config, const WeightNames& names, WeightSource& source,
                    Backend& backend, DecoderWeights& weights);

}  // namespace sluice
