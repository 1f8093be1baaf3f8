// BPE and Unigram models out of JSON.
#include "server/text/hf/json_model.h"

#include <cmath>
#include <optional>
#include <string_view>

#include "base/text.h"
#include "server/text/hf/hf_tokenizer.h"
#include "server/text/hf/json_fields.h"
#include "server/text/sentencepiece_check.h"

namespace sluice {
namespace {

// A bound on what one wrong id may make us allocate.
bool is_id(const JsonValue& value) {
  const int64_t* id = value.as_integer();
  return id != nullptr && *id >= 0 && *id < kMaxPieces;
}

// {"token": id, ...} by id.
Result<std::vector<std::string>> read_vocabulary(JsonFields& fields) {
  std::vector<std::string> spellings;
  for (const auto& [spelling, id] : fields.object("vocab")) {
    if (!is_id(id)) {
      return invalid_argument(str("model: a token has the id ", id.describe(),
                                  "; it must be an integer from 0 to ", kMaxPieces - 1));
    }
    if (spelling.empty() || spelling.size() >= kMaxPieceBytes) {
      return invalid_argument(str("model: the token ", *id.as_integer(), " has ", spelling.size(),
                                  " bytes; it must have 1 to ", kMaxPieceBytes - 1));
    }
    const auto at = static_cast<size_t>(*id.as_integer());
    if (at >= spellings.size()) spellings.resize(at + 1);
    if (!spellings[at].empty()) return invalid_argument(str("model: two tokens have the id ", at));
    spellings[at] = spelling;
  }
  SLUICE_RETURN_IF_ERROR(fields.status());
  return spellings;
}

// "left right", or ["left", "right"].
std::optional<std::pair<std::string_view, std::string_view>> halves_of(const JsonValue& merge) {
  if (const JsonValue::Array* pair = merge.as_array()) {
    const bool good = pair->size() == 2 && (*pair)[0].as_string() && (*pair)[1].as_string();
    if (!good) return std::nullopt;
    return std::pair(std::string_view(*(*pair)[0].as_string()),
                     std::string_view(*(*pair)[1].as_string()));
  }
  if (merge.as_string() == nullptr) return std::nullopt;
  const std::string_view text = *merge.as_string();
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

Status read_merges(const JsonValue::Array& merges, const std::vector<std::string>& spellings,
                   BpeOptions& options) {
  Vocabulary spelled{spellings, {}};
  spelled.index();
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto halves = halves_of(merges[rank]);
    if (!halves) return invalid_argument(str("model: merge ", rank, " is not two tokens"));
    const auto left = spelled.find(halves->first);
    const auto right = spelled.find(halves->second);
    const bool known =
        left && right && spelled.find(std::string(halves->first) + std::string(halves->second));
    if (!known) {
      return invalid_argument(
          str("model: merge ", rank, " names or makes a token that is not in the vocabulary"));
    }
    options.merges.push_back({*left, *right});
  }
  return {};
}

Status check_plain_bpe(JsonFields& fields) {
  const JsonValue* dropout = fields.find("dropout");
  const bool drops = dropout != nullptr && !(dropout->as_float() && *dropout->as_float() == 0) &&
                     !(dropout->as_integer() && *dropout->as_integer() == 0);
  if (drops) fields.fail("dropout makes ids random; only 0 is supported");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!fields.text(affix, "").empty()) fields.fail(str(affix, " is not supported"));
  }
  return fields.status();
}

Result<JsonModel> read_bpe(JsonFields& fields, bool byte_level) {
  SLUICE_RETURN_IF_ERROR(check_plain_bpe(fields));
  Result<std::vector<std::string>> spellings = read_vocabulary(fields);
  if (!spellings.ok()) return spellings.status();
  BpeOptions options;
  options.bytes = byte_level;
  options.fuse_unknown = fields.flag("fuse_unk", false);
  options.byte_fallback = fields.flag("byte_fallback", false);
  options.ignore_merges = fields.flag("ignore_merges", false);
  SLUICE_RETURN_IF_ERROR(read_merges(fields.array("merges"), spellings.value(), options));
  const std::string unknown = fields.text("unk_token", "");
  SLUICE_RETURN_IF_ERROR(fields.status());

  JsonModel result;
  result.spellings = std::move(spellings).value();
  Vocabulary vocabulary{result.spellings, {}};
  vocabulary.index();
  if (!unknown.empty()) {
    options.unknown = vocabulary.find(unknown);
    if (!options.unknown) return invalid_argument("model: unk_token is not in the vocabulary");
  }
  result.keeps_bytes = options.byte_fallback && !vocabulary.byte_tokens().empty();
  if (byte_level) {
    size_t num_bytes = 0;
    for (std::string& text : vocabulary.texts) {
      text = from_byte_letters(text).value_or("");  // no text of letters spells the others
      num_bytes += text.size() == 1 ? 1 : 0;
    }
    result.keeps_bytes = num_bytes == 256;
    if (!result.keeps_bytes && options.byte_fallback) {
      return Status(StatusCode::kUnimplemented,
                    "model: byte_fallback beside ByteLevel needs a token for each byte");
    }
    options.byte_fallback = false;
  }
  Result<std::unique_ptr<SubwordModel>> model = make_bpe(std::move(vocabulary), std::move(options));
  if (!model.ok()) return model.status();
  result.model = std::move(model).value();
  return result;
}

Result<JsonModel> read_unigram(JsonFields& fields) {
  JsonModel result;
  UnigramOptions options;
  for (const JsonValue& item : fields.array("vocab")) {
    const JsonValue::Array* pair = item.as_array();
    const bool shaped = pair != nullptr && pair->size() == 2 && (*pair)[0].as_string() &&
                        ((*pair)[1].as_float() || (*pair)[1].as_integer());
    const size_t id = result.spellings.size();
    if (!shaped) return invalid_argument(str("model: piece ", id, " is not [text, score]"));
    const std::string& text = *(*pair)[0].as_string();
    const double score = (*pair)[1].as_float() ? *(*pair)[1].as_float()
                                               : static_cast<double>(*(*pair)[1].as_integer());
    if (text.empty() || text.size() >= kMaxPieceBytes || !std::isfinite(score)) {
      return invalid_argument(str("model: piece ", id, " is empty, too long or has no score"));
    }
    result.spellings.push_back(text);
    options.scores.push_back(score);
    if (result.spellings.size() > kMaxPieces) return invalid_argument("model: too many pieces");
  }
  options.byte_fallback = fields.flag("byte_fallback", false);
  const auto unknown = fields.integer("unk_id");
  if (unknown && (*unknown < 0 || *unknown >= static_cast<int64_t>(result.spellings.size()))) {
    fields.fail(str("unk_id is ", *unknown, "; there are ", result.spellings.size(), " pieces"));
  }
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (unknown) options.unknown = static_cast<TokenId>(*unknown);
  Vocabulary vocabulary{result.spellings, {}};
  Result<std::unique_ptr<SubwordModel>> model = make_unigram(std::move(vocabulary), options);
  if (!model.ok()) return model.status();
  result.model = std::move(model).value();
  return result;
}

}  // namespace

Result<JsonModel> read_model(const JsonValue& json, bool byte_level) {
  const std::string where = "model";
  JsonFields fields(json, where);
  // Old files do not name the type; only BPE has merges.
  const std::string type = fields.text("type", json.find("merges") != nullptr ? "BPE" : "Unigram");
  SLUICE_RETURN_IF_ERROR(fields.status());
  if (type == "BPE") return read_bpe(fields, byte_level);
  if (type == "Unigram" && !byte_level) return read_unigram(fields);
  return Status(StatusCode::kUnimplemented,
                str("model of type \"", type, byte_level ? "\" behind ByteLevel" : "\"",
                    " is not supported; BPE and Unigram are"));
}

}  // namespace sluice
