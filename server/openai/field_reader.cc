// Field's readers.
#include "server/openai/field_reader.h"

#include <cmath>
#include <limits>

#include "base/text.h"

namespace sluice {

Status Field::mismatch(std::string_view wanted) const {
  return invalid_argument(str(name, ": expected ", wanted, ", got ", value.describe()), name);
}

Status Field::wrong(std::string_view what) const {
  return invalid_argument(str(name, ": ", what), name);
}

Status Field::unsupported(std::string_view what) const {
  return {StatusCode::kUnimplemented, str(name, ": ", what), name};
}

Status Field::read(bool* out) const {
  if (value.is_null()) return {};
  const bool* flag = value.as_bool();
  if (flag == nullptr) return mismatch("true or false");
  *out = *flag;
  return {};
}

Status Field::read(int64_t* out) const {
  if (value.is_null()) return {};
  if (const int64_t* integer = value.as_integer()) {
    *out = *integer;
    return {};
  }
  constexpr double kExact = 9007199254740992.0;  // 2^53: above, a float is no certain integer
  const double* number = value.as_float();
  if (number == nullptr || std::trunc(*number) != *number || std::abs(*number) > kExact) {
    return mismatch("an integer");
  }
  *out = static_cast<int64_t>(*number);
  return {};
}

Status Field::read(int32_t* out) const {
  int64_t wide = *out;
  SLUICE_RETURN_IF_ERROR(read(&wide));
  if (wide < std::numeric_limits<int32_t>::min() || wide > std::numeric_limits<int32_t>::max()) {
    return mismatch("an integer of 32 bits");
  }
  *out = static_cast<int32_t>(wide);
  return {};
}

Status Field::read(float* out) const {
  if (value.is_null()) return {};
  double number = 0;
  if (const int64_t* integer = value.as_integer()) {
    number = static_cast<double>(*integer);
  } else if (const double* real = value.as_float()) {
    number = *real;
  } else {
    return mismatch("a number");
  }
  if (std::abs(number) > static_cast<double>(std::numeric_limits<float>::max())) {
    return mismatch("a number within float32");
  }
  *out = static_cast<float>(number);
  return {};
}

Status Field::read(std::string* out) const {
  if (value.is_null()) return {};
  const std::string* text = value.as_string();
  if (text == nullptr) return mismatch("a string");
  *out = *text;
  return {};
}

Status Field::read_ids(std::vector<TokenId>* out) const {
  if (value.is_null()) return {};
  const JsonValue::Array* array = value.as_array();
  if (array == nullptr) return mismatch("an array of token ids");
  out->clear();
  out->reserve(array->size());
  for (const JsonValue& element : *array) {
    const int64_t* id = element.as_integer();
    if (id == nullptr || *id < 0 || *id > std::numeric_limits<TokenId>::max()) {
      return Field{str(name, "[", out->size(), "]"), element}.mismatch("a token id");
    }
    out->push_back(static_cast<TokenId>(*id));
  }
  return {};
}

Status Field::read_strings(std::vector<std::string>* out) const {
  if (value.is_null()) return {};
  if (const std::string* text = value.as_string()) {
    *out = {*text};
    return {};
  }
  const JsonValue::Array* array = value.as_array();
  if (array == nullptr) return mismatch("a string or an array of strings");
  out->clear();
  for (const JsonValue& element : *array) {
    const std::string* text = element.as_string();
    if (text == nullptr)
      return Field{str(name, "[", out->size(), "]"), element}.mismatch("a string");
    out->push_back(*text);
  }
  return {};
}

}  // namespace sluice
