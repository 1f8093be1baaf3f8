// The model of a tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/text/hf/subword_model.h"
#include "server/text/json_value.h"

namespace sluice {

struct JsonModel {
  std::shared_ptr<const SubwordModel> model;
  std::vector<std::string> spellings;  // by id; empty: no such token
  bool keeps_bytes = false;            // every byte of a piece becomes part of some token
};

// byte_level: the model's symbols are bytes, spelled in GPT-2's alphabet.
Result<JsonModel> read_model(const JsonValue& json, bool byte_level);

}  // namespace sluice
