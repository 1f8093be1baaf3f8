// Typed reading of one member of a JSON body. Strict about kinds and ranges, and every refusal says
// which field, what was found and what is wanted:
//   temperature: expected a number, got the string "hot"
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "server/text/json_value.h"

namespace sluice {

// A named value on its way into a variable. All read functions leave *out alone for null, which
// means "not given" wherever OpenAI's API has an optional field.
struct Field {
  std::string name;
  const JsonValue& value;

  Status read(bool* out) const;
  Status read(int32_t* out) const;
  // Integers may be written as floats without a fraction (16.0), as JSON makes no difference.
  Status read(int64_t* out) const;
  Status read(float* out) const;  // finite and within float32
  Status read(std::string* out) const;
  // An array of token ids, 0 ... 2^31 - 1. Whether the model has them is for the service to say.
  Status read_ids(std::vector<TokenId>* out) const;
  // A string or an array of strings.
  Status read_strings(std::vector<std::string>* out) const;

  // "NAME: expected WANTED, got DESCRIPTION".
  Status mismatch(std::string_view wanted) const;
  Status wrong(std::string_view what) const;        // "NAME: WHAT"
  Status unsupported(std::string_view what) const;  // kUnimplemented, as above
};

}  // namespace sluice
