// Reads tokenizer_config.json. Every field is optional; one of a wrong type is refused by name.
#include "server/text/tokenizer_config.h"

#include <cstddef>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "engine/model/json_text.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxConfigBytes = size_t{16} << 20;
constexpr int kMaxConfigDepth = 32;

// Collects the first error instead of stopping at each field.
class Reader {
 public:
  Reader(const Json& root, const std::string& path) : root_(&root), path_(path) {}

  void read(const char* key, bool& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(key, "true or false");
    out = value->get<bool>();
  }

  void read(const char* key, std::optional<bool>& out) {
    bool value = false;
    if (find(key) == nullptr) return;
    read(key, value);
    out = value;
  }

  // "<s>", or {"content": "<s>", ...}.
  void read_token(const char* key, std::string& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (value->is_object() && value->contains("content")) value = &(*value)["content"];
    if (!value->is_string()) return fail(key, "a token's spelling");
    out = value->get<std::string>();
  }

  // A string, or a list of {"name": ..., "template": ...}.
  void read_templates(const char* key, std::map<std::string, std::string>& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (value->is_string()) {
      out[kDefaultTemplate] = value->get<std::string>();
      return;
    }
    const char* expected = "a template, or a list of {\"name\", \"template\"}";
    if (!value->is_array()) return fail(key, expected);
    for (const Json& item : *value) {
      const bool named = item.is_object() && item.contains("name") && item.contains("template") &&
                         item["name"].is_string() && item["template"].is_string();
      if (!named) return fail(key, expected);
      out[item["name"].get<std::string>()] = item["template"].get<std::string>();
    }
  }

  // {"3": {"content": "<|im_start|>", "special": true}, ...}.
  void read_special(const char* key, std::vector<std::string>& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_object()) return fail(key, "an object");
    for (const Json& token : *value) {
      const bool special = token.is_object() && token.value("special", Json(false)) == Json(true);
      if (!special) continue;
      if (!token.contains("content") || !token["content"].is_string()) {
        return fail(key, "tokens with a \"content\" each");
      }
      out.push_back(token["content"].get<std::string>());
    }
  }

  const Status& status() const { return status_; }

 private:
  const Json* find(const char* key) const {
    const auto found = root_->find(key);
    return found == root_->end() || found->is_null() ? nullptr : &*found;
  }
  void fail(const char* key, const char* expected) {
    if (status_.ok())
      status_ = invalid_argument(str(path_, ": ", key, " must be ", expected), path_);
  }

  const Json* root_;
  std::string path_;
  Status status_;
};

}  // namespace

Result<TokenizerConfig> parse_tokenizer_config(std::string_view json, const std::string& path) {
  SLUICE_RETURN_IF_ERROR(check_json_object(json, path, kMaxConfigDepth));
  const Json root = Json::parse(json);
  TokenizerConfig config;
  Reader reader(root, path);
  reader.read_token("bos_token", config.bos_token);
  reader.read_token("eos_token", config.eos_token);
  reader.read_token("unk_token", config.unk_token);
  reader.read("add_bos_token", config.add_bos_token);
  reader.read("add_eos_token", config.add_eos_token);
  reader.read("add_prefix_space", config.add_prefix_space);
  reader.read("legacy", config.legacy);
  reader.read_templates("chat_template", config.chat_templates);
  reader.read_special("added_tokens_decoder", config.special_tokens);
  SLUICE_RETURN_IF_ERROR(reader.status());
  for (const std::string* token : {&config.bos_token, &config.eos_token, &config.unk_token}) {
    if (!token->empty()) config.special_tokens.push_back(*token);
  }
  return config;
}

Result<TokenizerConfig> load_tokenizer_config(const std::string& dir) {
  TokenizerConfig config;
  const std::string path = dir + "/tokenizer_config.json";
  const Result<std::string> json = read_text_file(path, kMaxConfigBytes);
  if (json.ok()) {
    Result<TokenizerConfig> parsed = parse_tokenizer_config(json.value(), path);
    if (!parsed.ok()) return parsed;
    config = std::move(parsed).value();
  } else if (json.status().code() != StatusCode::kNotFound) {
    return json.status();
  }
  const Result<std::string> jinja = read_text_file(dir + "/chat_template.jinja", kMaxConfigBytes);
  if (jinja.ok()) {
    config.chat_templates[kDefaultTemplate] = jinja.value();
  } else if (jinja.status().code() != StatusCode::kNotFound) {
    return jinja.status();
  }
  return config;
}

}  // namespace sluice
