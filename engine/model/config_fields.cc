// Getters that refuse in words.
#include "engine/model/config_fields.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int kMaxConfigDepth = 16;
constexpr size_t kMaxEosIds = 64;

const json* find(const void* object, const char* key) {
  const json& node = *static_cast<const json*>(object);
  const auto found = node.find(key);
  return found == node.end() || found->is_null() ? nullptr : &*found;
}

bool fits_int64(const json& value) {
  return value.is_number_integer() &&
         !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
}

bool read(const json& value, int64_t& out) {
  if (!fits_int64(value)) return false;
  out = value.get<int64_t>();
  return true;
}
bool read(const json& value, double& out) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) return false;
  out = value.get<double>();
  return true;
}
bool read(const json& value, bool& out) {
  if (!value.is_boolean()) return false;
  out = value.get<bool>();
  return true;
}
bool read(const json& value, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get<std::string>();
  return true;
}

}  // namespace

struct ConfigFields::Document {
  json root;
  std::string file;
  Status status;
};

Result<ConfigFields> ConfigFields::parse(std::string_view text, const std::string& file) {
  SLUICE_RETURN_IF_ERROR(check_json_object(text, file, kMaxConfigDepth));
  auto document = std::make_shared<Document>(Document{json::parse(text), file, {}});
  const void* root = &document->root;
  return ConfigFields(std::move(document), root);
}

const Status& ConfigFields::status() const { return document_->status; }

bool ConfigFields::has(const char* key) const { return find(object_, key) != nullptr; }

bool ConfigFields::is_object(const char* key) const {
  const json* value = find(object_, key);
  return value != nullptr && value->is_object();
}

std::optional<int64_t> ConfigFields::integer(const char* key) {
  const json* value = find(object_, key);
  int64_t out = 0;
  if (value == nullptr) return {};
  if (read(*value, out)) return out;
  refuse(key, "expected an integer");
  return {};
}

std::optional<double> ConfigFields::real(const char* key) {
  const json* value = find(object_, key);
  double out = 0;
  if (value == nullptr) return {};
  if (read(*value, out)) return out;
  refuse(key, "expected a number");
  return {};
}

std::optional<bool> ConfigFields::boolean(const char* key) {
  const json* value = find(object_, key);
  bool out = false;
  if (value == nullptr) return {};
  if (read(*value, out)) return out;
  refuse(key, "expected true or false");
  return {};
}

std::optional<std::string> ConfigFields::text(const char* key) {
  const json* value = find(object_, key);
  std::string out;
  if (value == nullptr) return {};
  if (read(*value, out)) return out;
  refuse(key, "expected a string");
  return {};
}

std::optional<ConfigFields> ConfigFields::object(const char* key) {
  const json* value = find(object_, key);
  if (value == nullptr) return {};
  if (value->is_object()) return ConfigFields(document_, value);
  refuse(key, "expected an object or null");
  return {};
}

int ConfigFields::number(const char* key, std::optional<int> fallback) {
  const std::optional<int64_t> value = integer(key);
  if (!value && fallback) return *fallback;
  if (!value && !has(key)) refuse(str("has no ", key));
  if (value && (*value < 0 || *value > std::numeric_limits<int>::max()))
    refuse(key, "expected an integer from 0 to 2147483647");
  return static_cast<int>(value.value_or(0));
}

std::vector<TokenId> ConfigFields::ids(const char* key) {
  const json* value = find(object_, key);
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  std::vector<TokenId> out;
  for (const json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > std::numeric_limits<TokenId>::max() ||
        list.size() > kMaxEosIds) {
      refuse(key, str("expected a token id or a list of at most ", kMaxEosIds));
      return {};
    }
    out.push_back(id.get<TokenId>());
  }
  return out;
}

template <typename T>
std::vector<T> ConfigFields::list(const char* key, const char* what) {
  const json* value = find(object_, key);
  if (value == nullptr) return {};
  std::vector<T> out;
  bool good = value->is_array() && value->size() <= kMaxList;
  if (good) {
    for (const json& item : *value) good = good && read(item, out.emplace_back());
  }
  if (good) return out;
  refuse(key, str("expected a list of at most ", kMaxList, " ", what));
  return {};
}

std::vector<double> ConfigFields::reals(const char* key) { return list<double>(key, "numbers"); }
std::vector<int64_t> ConfigFields::integers(const char* key) {
  return list<int64_t>(key, "integers");
}
std::vector<std::string> ConfigFields::texts(const char* key) {
  return list<std::string>(key, "strings");
}

void ConfigFields::refuse(const char* key, const std::string& expected) {
  refuse(str(key, " is ", shown(find(object_, key)->dump()), "; ", expected));
}

void ConfigFields::refuse(const std::string& problem) {
  Document& document = *document_;
  if (document.status.ok())
    document.status = invalid_argument(str(document.file, ": ", problem), document.file);
}

}  // namespace sluice
