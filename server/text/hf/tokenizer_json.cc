// A tokenizer.json from its parts; added tokens and post-processor.
#include "server/text/hf/tokenizer_json.h"

#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "engine/model/json_text.h"
#include "server/text/hf/hf_tokenizer.h"
#include "server/text/hf/json_fields.h"
#include "server/text/hf/json_model.h"
#include "server/text/hf/json_steps.h"
#include "server/text/sentencepiece_check.h"

namespace sluice {
namespace {

// Composition can make one byte of text out of three (Hangul, marks), so a token of n bytes may
// stand for 3 n.
constexpr size_t kComposedShrink = 3;

Result<std::vector<AddedToken>> read_added(const JsonValue* json,
                                           const std::vector<std::string>& spellings) {
  std::vector<AddedToken> tokens;
  if (json == nullptr || json->is_null()) return tokens;
  if (json->as_array() == nullptr) return invalid_argument("added_tokens must be a list");
  std::unordered_set<int64_t> ids;
  const std::string where = "added_tokens";
  const auto limit = static_cast<int64_t>(spellings.size() + json->as_array()->size());
  for (const JsonValue& item : *json->as_array()) {
    JsonFields fields(item, where);
    const int64_t id = fields.integer("id").value_or(-1);
    AddedToken token{.id = static_cast<TokenId>(id),
                     .content = fields.text("content"),
                     .special = fields.flag("special", false),
                     .single_word = fields.flag("single_word", false),
                     .lstrip = fields.flag("lstrip", false),
                     .rstrip = fields.flag("rstrip", false),
                     .normalized = false};
    token.normalized = fields.flag("normalized", !token.special);
    if (id < 0 || id >= kMaxPieces || id >= limit) {
      fields.fail(
          str("the id ", id, " is beyond the vocabulary and its added tokens (", limit, ")"));
    } else if (!ids.insert(id).second) {
      fields.fail(str("two have the id ", id));
    } else if (token.content.empty() || token.content.size() >= kMaxPieceBytes) {
      fields.fail(str("token ", id, " has ", token.content.size(), " bytes; it must have 1 to ",
                      kMaxPieceBytes - 1));
    } else if (token.special && token.single_word) {
      fields.fail(str("token ", id, " is special and single_word, which is not supported"));
    }
    SLUICE_RETURN_IF_ERROR(fields.status());
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// Looks token texts up among added tokens, then the model's.
class Ids {
 public:
  explicit Ids(const HfTokenizerParts& parts) {
    for (size_t id = 0; id < parts.spellings.size(); ++id) {
      ids_[parts.spellings[id]] = static_cast<TokenId>(id);
    }
    for (const AddedToken& token : parts.added) ids_[token.content] = token.id;
    size_ = static_cast<int64_t>(parts.spellings.size() + parts.added.size());
  }
  bool has(int64_t id) const { return id >= 0 && id < size_; }
  std::optional<TokenId> find(const std::string& text) const {
    const auto found = ids_.find(text);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::unordered_map<std::string, TokenId> ids_;
  int64_t size_ = 0;
};

// The ids of a TemplateProcessing's special token.
Status add_template_token(const JsonValue& processor, const std::string& name, const Ids& ids,
                          std::vector<TokenId>& out) {
  const JsonValue* tokens = processor.find("special_tokens");
  const JsonValue* token = tokens == nullptr ? nullptr : tokens->find(name);
  const JsonValue* list = token == nullptr ? nullptr : token->find("ids");
  if (list == nullptr || list->as_array() == nullptr) {
    return invalid_argument("post_processor: a special token of the template has no ids");
  }
  for (const JsonValue& id : *list->as_array()) {
    if (id.as_integer() == nullptr || !ids.has(*id.as_integer())) {
      return invalid_argument("post_processor: an id is beyond the vocabulary");
    }
    out.push_back(static_cast<TokenId>(*id.as_integer()));
  }
  return {};
}

Status add_template(const JsonValue& processor, const Ids& ids, LoadedTokenizer& out) {
  const JsonValue* single = processor.find("single");
  if (single == nullptr || single->as_array() == nullptr) {
    return invalid_argument("post_processor: single must be a list");
  }
  bool behind_text = false;
  for (const JsonValue& item : *single->as_array()) {
    if (item.find("Sequence") != nullptr) {
      if (std::exchange(behind_text, true)) {
        return invalid_argument("post_processor: the template has the text twice");
      }
      continue;
    }
    const JsonValue* token = item.find("SpecialToken");
    const JsonValue* name = token == nullptr ? nullptr : token->find("id");
    if (name == nullptr || name->as_string() == nullptr) {
      return invalid_argument("post_processor: the template has an unknown item");
    }
    SLUICE_RETURN_IF_ERROR(add_template_token(processor, *name->as_string(), ids,
                                              behind_text ? out.suffix : out.prefix));
  }
  return {};
}

// ["</s>", 2], the older way to name a token.
Status add_pair(const JsonValue* pair, const Ids& ids, std::vector<TokenId>& out) {
  const bool shaped = pair != nullptr && pair->as_array() && pair->as_array()->size() == 2 &&
                      (*pair->as_array())[1].as_integer();
  if (!shaped || !ids.has(*(*pair->as_array())[1].as_integer())) {
    return invalid_argument("post_processor: sep and cls must be [text, id]");
  }
  out.push_back(static_cast<TokenId>(*(*pair->as_array())[1].as_integer()));
  return {};
}

Status add_post_processor(const JsonValue& json, const Ids& ids, LoadedTokenizer& out) {
  const std::string where = "post_processor";
  JsonFields fields(json, where);
  const std::string type = fields.text("type");
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (type == "Sequence") {
    for (const JsonValue& member : fields.array("processors")) {
      SLUICE_RETURN_IF_ERROR(add_post_processor(member, ids, out));
    }
    return fields.status();
  }
  if (type == "ByteLevel") return {};  // trims offsets, which nobody asks for here
  if (type == "TemplateProcessing") return add_template(json, ids, out);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    SLUICE_RETURN_IF_ERROR(add_pair(json.find("cls"), ids, out.prefix));
    return add_pair(json.find("sep"), ids, out.suffix);
  }
  return {StatusCode::kUnimplemented,
          str("post_processor of type \"", type, "\" is not supported")};
}

// As Tokenizer::max_bytes_per_token wants it: only where no text can vanish.
size_t max_bytes_per_token(const HfTokenizerParts& parts, const PreTokenizerTraits& traits,
                           bool keeps_bytes, bool only_composes) {
  bool strips = false;
  size_t most = 0;
  for (const AddedToken& token : parts.added) {
    strips = strips || token.lstrip || token.rstrip;
    most = std::max(most, token.content.size());
  }
  if (strips || traits.removes || !keeps_bytes || !(parts.normalizer.empty() || only_composes)) {
    return 0;
  }
  for (const std::string& spelling : parts.spellings) most = std::max(most, spelling.size());
  return only_composes ? most * kComposedShrink : most;
}

Result<LoadedTokenizer> assemble(const JsonValue& root) {
  if (root.as_object() == nullptr) return invalid_argument("it is no JSON object");
  const auto member = [&](const char* key) -> const JsonValue* {
    const JsonValue* value = root.find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  };
  HfTokenizerParts parts;
  PreTokenizerTraits traits;
  bool only_composes = false;
  if (const JsonValue* json = member("normalizer")) {
    SLUICE_RETURN_IF_ERROR(add_normalizer(*json, parts.normalizer));
    const JsonValue* type = json->find("type");
    only_composes = type->as_string() != nullptr && *type->as_string() == "NFC";
  }
  if (const JsonValue* json = member("pre_tokenizer")) {
    SLUICE_RETURN_IF_ERROR(add_pre_tokenizer(*json, parts.pre_tokenizer, traits));
  }
  const JsonValue* decoder = member("decoder");
  const JsonValue* model_json = member("model");
  if (decoder == nullptr) return invalid_argument("decoder is missing");
  if (model_json == nullptr) return invalid_argument("model is missing");
  SLUICE_RETURN_IF_ERROR(add_decoder(*decoder, parts.token_bytes));

  Result<JsonModel> model = read_model(*model_json, traits.byte_level);
  if (!model.ok()) return model.status();
  parts.spellings = std::move(model->spellings);
  parts.model = std::move(model->model);
  Result<std::vector<AddedToken>> added = read_added(member("added_tokens"), parts.spellings);
  if (!added.ok()) return added.status();
  parts.added = std::move(added).value();
  parts.max_bytes_per_token = max_bytes_per_token(parts, traits, model->keeps_bytes, only_composes);

  LoadedTokenizer loaded;
  if (const JsonValue* json = member("post_processor")) {
    SLUICE_RETURN_IF_ERROR(add_post_processor(*json, Ids(parts), loaded));
  }
  loaded.tokenizer = make_hf_tokenizer(std::move(parts));
  return loaded;
}

}  // namespace

Result<LoadedTokenizer> parse_tokenizer_json(std::string_view bytes, const std::string& path) {
  const auto refuse = [&](const Status& why) {
    return Status(why.code(), str(path, ": not a usable tokenizer: ", why.message()), path);
  };
  const Result<JsonValue> root = JsonValue::parse(bytes);
  if (!root.ok()) return refuse(root.status());
  Result<LoadedTokenizer> loaded = assemble(root.value());
  if (!loaded.ok()) return refuse(loaded.status());
  return loaded;
}

Result<LoadedTokenizer> load_tokenizer_json(const std::string& path) {
  const Result<std::string> bytes = read_text_file(path, kMaxTokenizerBytes);
  if (!bytes.ok()) return bytes.status();
  return parse_tokenizer_json(bytes.value(), path);
}

}  // namespace sluice
