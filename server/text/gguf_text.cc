// Tokens, merges and flags of a GGUF file to a Tokenizer.
#include "server/text/gguf_text.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "engine/model/checkpoint.h"
#include "engine/model/json_text.h"
#include "server/text/hf/hf_tokenizer.h"
#include "server/text/hf/json_steps.h"
#include "server/text/sentencepiece_check.h"

namespace sluice {
namespace {

constexpr int64_t kControl = 3, kUserDefined = 4;  // types of tokens
constexpr const char* kPrefix = "tokenizer.ggml.";

// Where byte-level tokenizers cut. Sources: the tokenizer.json files of the models.
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeekIdeographs = "[一-龥぀-ゟ゠-ヿ]+";
constexpr const char* kDeepSeek =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct ByteLevelKind {
  std::string_view name;                // tokenizer.ggml.pre
  std::array<const char*, 3> patterns;  // null: none
  bool composes = false;                // text is put into normal form C first
  bool ignores_merges = false;          // a piece that is a token is that token
  bool adds_bos = false;                // before a plain-text prompt, where the file does not say
};

constexpr ByteLevelKind kKinds[] = {
    {"default", {kGpt2Pattern}},
    {"gpt-2", {kGpt2Pattern}},
    {"smollm", {R"(\p{N})", kGpt2Pattern}},
    {"starcoder", {R"(\p{N})", kGpt2Pattern}},
    {"llama-bpe", {kLlama3}, false, true, true},
    {"llama3", {kLlama3}, false, true, true},
    {"qwen2", {kQwen2}, true},
    {"deepseek-r1-qwen", {kQwen2}, true},
    {"deepseek-v3", {R"(\p{N}{1,3})", kDeepSeekIdeographs, kDeepSeek}},
};

// Null: not known.
const ByteLevelKind* byte_level_kind(const GgufHeader& header) {
  const std::string* name = header.text(str(kPrefix, "pre"));
  for (const ByteLevelKind& kind : kKinds) {
    if (kind.name == (name == nullptr ? "default" : *name)) return &kind;
  }
  return nullptr;
}

// The lists that describe the tokens, equally long.
struct TokenLists {
  const std::vector<std::string>* texts = nullptr;
  const std::vector<int64_t>* types = nullptr;

  int64_t type(size_t id) const { return types == nullptr ? 1 : (*types)[id]; }
};

Result<TokenLists> read_lists(const GgufHeader& header) {
  TokenLists lists{header.list<std::string>(str(kPrefix, "tokens")),
                   header.list<int64_t>(str(kPrefix, "token_type"))};
  if (lists.texts == nullptr || lists.texts->empty() || lists.texts->size() > kMaxPieces) {
    return invalid_argument(str(kPrefix, "tokens is missing, empty or too long"));
  }
  if (lists.types != nullptr && lists.types->size() != lists.texts->size()) {
    return invalid_argument(str("there are ", lists.texts->size(), " tokens and ",
                                lists.types->size(), " types of tokens"));
  }
  return lists;
}

Status read_merges(const GgufHeader& header, const Vocabulary& spelled, BpeOptions& options) {
  const auto* merges = header.list<std::string>(str(kPrefix, "merges"));
  if (merges == nullptr) return invalid_argument(str(kPrefix, "merges is missing"));
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    const std::string& merge = (*merges)[rank];
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos) {
      return invalid_argument(str("merge ", rank, " is not two tokens"));
    }
    const auto left = spelled.find(std::string_view(merge).substr(0, space));
    const auto right = spelled.find(std::string_view(merge).substr(space + 1));
    if (!left || !right || !spelled.find(merge.substr(0, space) + merge.substr(space + 1))) {
      return invalid_argument(
          str("merge ", rank, " names or makes a token that is not in the vocabulary"));
    }
    options.merges.push_back({*left, *right});
  }
  return {};
}

Status add_patterns(const ByteLevelKind& kind, PreTokenizer& pre_tokenizer) {
  for (const char* pattern : kind.patterns) {
    if (pattern == nullptr) break;
    Result<Regex> regex = Regex::compile(pattern);
    if (!regex.ok()) return regex.status();
    pre_tokenizer.add(split_step(std::move(regex).value(), SplitBehavior::kIsolated, false));
  }
  return {};
}

Result<std::unique_ptr<Tokenizer>> read_byte_level(const GgufHeader& header) {
  const ByteLevelKind* kind = byte_level_kind(header);
  if (kind == nullptr) {
    return Status(StatusCode::kUnimplemented,
                  str("the pre-tokenizer \"", shown(*header.text(str(kPrefix, "pre"))),
                      "\" (tokenizer.ggml.pre) is not known"));
  }
  const Result<TokenLists> lists = read_lists(header);
  if (!lists.ok()) return lists.status();
  HfTokenizerParts parts;
  Vocabulary vocabulary;
  for (size_t id = 0; id < lists->texts->size(); ++id) {
    const std::string& text = (*lists->texts)[id];
    if (text.size() >= kMaxPieceBytes) return invalid_argument(str("token ", id, " is too long"));
    parts.spellings.push_back(text);
    const int64_t type = lists->type(id);
    if ((type == kControl || type == kUserDefined) && !text.empty()) {
      parts.added.push_back(
          {.id = static_cast<TokenId>(id), .content = text, .special = type == kControl});
    }
  }
  BpeOptions options;
  options.bytes = true;
  options.ignore_merges = kind->ignores_merges;
  Vocabulary spelled{parts.spellings, {}};
  spelled.index();
  SLUICE_RETURN_IF_ERROR(read_merges(header, spelled, options));
  for (const std::string& text : parts.spellings) {
    vocabulary.texts.push_back(from_byte_letters(text).value_or(""));
  }
  Result<std::unique_ptr<SubwordModel>> model = make_bpe(std::move(vocabulary), std::move(options));
  if (!model.ok()) return model.status();
  parts.model = std::move(model).value();
  if (kind->composes) parts.normalizer.add(unicode_form_step(UnicodeForm::kNfc));
  SLUICE_RETURN_IF_ERROR(add_patterns(*kind, parts.pre_tokenizer));
  parts.token_bytes.byte_level = true;
  return make_hf_tokenizer(std::move(parts));
}

Result<std::unique_ptr<Tokenizer>> read_sentencepiece(const GgufHeader& header,
                                                      const std::string& file) {
  const Result<TokenLists> lists = read_lists(header);
  if (!lists.ok()) return lists.status();
  const auto* scores = header.list<double>(str(kPrefix, "scores"));
  if (scores == nullptr || scores->size() != lists->texts->size()) {
    return invalid_argument(str(kPrefix, "scores is missing, or not one a token"));
  }
  std::vector<SentencePiece> pieces;
  for (size_t id = 0; id < lists->texts->size(); ++id) {
    pieces.push_back({(*lists->texts)[id], static_cast<float>((*scores)[id]),
                      static_cast<int>(lists->type(id))});
  }
  SentencePieceOptions options;
  options.add_prefix_space = header.flag(str(kPrefix, "add_space_prefix")).value_or(true);
  options.prefix_every_piece = true;
  return make_sentencepiece(pieces, file, options);
}

TokenizerConfig read_config(const GgufHeader& header, const Tokenizer& tokenizer) {
  TokenizerConfig config;
  const auto spelling = [&](const char* name) {
    const auto id = header.integer(str(kPrefix, name, "_token_id"));
    const bool known = id && *id >= 0 && *id < tokenizer.vocab_size();
    return known ? tokenizer.spelling(static_cast<TokenId>(*id)) : std::string();
  };
  config.bos_token = spelling("bos");
  config.eos_token = spelling("eos");
  config.unk_token = spelling("unknown");
  config.add_bos_token = header.flag(str(kPrefix, "add_bos_token"));
  config.add_eos_token = header.flag(str(kPrefix, "add_eos_token"));
  if (const std::string* chat = header.text("tokenizer.chat_template")) {
    config.chat_templates[kDefaultTemplate] = *chat;
  }
  return config;
}

}  // namespace

Result<GgufText> read_gguf_text(const GgufHeader& header, const std::string& file) {
  const auto refuse = [&](const Status& why) {
    return Status(why.code(), str(file, ": not a usable tokenizer: ", why.message()), file);
  };
  const std::string* model = header.text(str(kPrefix, "model"));
  const std::string kind = model == nullptr ? "" : *model;
  if (kind != "gpt2" && kind != "llama") {
    return refuse({StatusCode::kUnimplemented,
                   str("tokenizer.ggml.model is \"", shown(kind), "\"; gpt2 and llama are known")});
  }
  Result<std::unique_ptr<Tokenizer>> tokenizer =
      kind == "gpt2" ? read_byte_level(header) : read_sentencepiece(header, file);
  if (!tokenizer.ok()) return refuse(tokenizer.status());
  GgufText text;
  text.config = read_config(header, *tokenizer.value());
  text.tokenizer.tokenizer = std::move(tokenizer).value();
  const auto bos = text.tokenizer.tokenizer->control_id(text.config.bos_token);
  const bool adds_bos = kind == "llama" || byte_level_kind(header)->adds_bos;
  if (adds_bos && bos) text.tokenizer.prefix = {*bos};  // unless add_bos_token says no
  return text;
}

Result<GgufText> load_gguf_text(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  const Result<GgufHeader> header = parse_gguf(file->bytes(), path);
  if (!header.ok()) return header.status();
  return read_gguf_text(header.value(), path);
}

}  // namespace sluice
