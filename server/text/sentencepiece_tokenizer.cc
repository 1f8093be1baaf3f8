// Tokenizer over SentencePiece. The only file that sees the library: its header puts names into
// namespace absl.
#include <sentencepiece_model.pb.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "engine/model/json_text.h"
#include "server/text/control_tokens.h"
#include "server/text/sentencepiece_check.h"
#include "server/text/tokenizer.h"

namespace sluice {
namespace {

using sentencepiece::ModelProto;
using sentencepiece::SentencePieceProcessor;
using Piece = ModelProto::SentencePiece;

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581 stands for a space in pieces

std::string replace_space_symbols(std::string_view piece) {
  std::string text;
  for (size_t at = 0; at < piece.size();) {
    if (piece.substr(at, kSpaceSymbol.size()) == kSpaceSymbol) {
      text += ' ';
      at += kSpaceSymbol.size();
    } else {
      text += piece[at++];
    }
  }
  return text;
}

// The byte of "<0x0A>".
Result<uint8_t> byte_of(int id, const std::string& piece) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (piece.size() == 6 && piece.starts_with("<0x") && piece[5] == '>' && digit(piece[3]) >= 0 &&
      digit(piece[4]) >= 0) {
    return static_cast<uint8_t>(digit(piece[3]) * 16 + digit(piece[4]));
  }
  return invalid_argument(str("piece ", id, " is a byte token and is not spelled like <0x0A>"));
}

bool is_control_spelling(const std::string& piece, const SentencePieceOptions& options) {
  if (piece.size() > 4 && piece.starts_with("<|") && piece.ends_with("|>")) return true;
  const auto& named = options.control_tokens;
  return std::find(named.begin(), named.end(), piece) != named.end();
}

// Checks what the library takes on trust.
Status check_model(const ModelProto& model) {
  if (model.pieces_size() == 0 || model.pieces_size() > kMaxPieces) {
    return invalid_argument(
        str("has ", model.pieces_size(), " pieces; there must be 1 to ", kMaxPieces));
  }
  for (int id = 0; id < model.pieces_size(); ++id) {
    const Piece& piece = model.pieces(id);
    SLUICE_RETURN_IF_ERROR(check_piece(id, piece.piece(), piece.score()));
    if (piece.type() == Piece::BYTE) {
      SLUICE_RETURN_IF_ERROR(byte_of(id, piece.piece()).status());
    }
  }
  return check_charsmap(model.normalizer_spec().precompiled_charsmap());
}

// Neither its normaliser nor its unknown token can make a long text a short one.
bool keeps_every_byte(const ModelProto& model) {
  const auto& normalizer = model.normalizer_spec();
  return normalizer.precompiled_charsmap().empty() && !normalizer.remove_extra_whitespaces() &&
         model.trainer_spec().byte_fallback();
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  // `model` has passed check_model().
  static Result<std::unique_ptr<Tokenizer>> create(ModelProto model,
                                                   const SentencePieceOptions& options) {
    auto tokenizer = std::unique_ptr<SentencePieceTokenizer>(new SentencePieceTokenizer);
    SLUICE_RETURN_IF_ERROR(tokenizer->load(std::move(model), options));
    return std::unique_ptr<Tokenizer>(std::move(tokenizer));
  }

  using Tokenizer::encode;
  std::vector<TokenId> encode(const std::vector<PromptPiece>& pieces) const override {
    std::vector<TokenId> ids;
    bool first = true;
    for (const PromptPiece& piece : pieces) {
      if (piece.control) {
        ids.push_back(*piece.control);
      } else if (!piece.text.empty()) {
        const bool prefix = prefix_space_ && (first || prefix_every_piece_);
        append(prefix ? prefixing_ : plain_, piece.text, ids);
      } else {
        continue;
      }
      first = false;
    }
    return ids;
  }

  std::string_view bytes_of(TokenId id, bool keep_control) const override {
    const Entry& entry = entry_of(id);
    return entry.control && !keep_control ? std::string_view() : entry.bytes;
  }
  bool adds_leading_space() const override { return prefix_space_; }
  size_t max_bytes_per_token() const override { return max_bytes_per_token_; }
  int vocab_size() const override { return static_cast<int>(entries_.size()); }

  std::optional<TokenId> control_id(std::string_view spelling) const override {
    return controls_.find(spelling);
  }
  std::optional<TokenId> control_at(std::string_view text, size_t* length) const override {
    return controls_.at(text, length);
  }
  std::string spelling(TokenId id) const override { return entry_of(id).spelling; }
  bool is_control(TokenId id) const override { return entry_of(id).control; }

 private:
  struct Entry {
    std::string spelling;
    std::string bytes;  // a control token's spelling
    bool control = false;
  };

  SentencePieceTokenizer() = default;

  Status load(ModelProto model, const SentencePieceOptions& options) {
    // Control pieces are never found in text; user-defined ones are. So the ones that steer the
    // model become control pieces.
    for (Piece& piece : *model.mutable_pieces()) {
      if (piece.type() == Piece::USER_DEFINED && is_control_spelling(piece.piece(), options)) {
        piece.set_type(Piece::CONTROL);
      }
    }
    add_entries(model);
    if (keeps_every_byte(model)) {
      for (const Entry& entry : entries_) {
        if (entry.control) continue;
        max_bytes_per_token_ = std::max(max_bytes_per_token_, entry.bytes.size());
      }
    }

    prefix_every_piece_ = options.prefix_every_piece;
    prefix_space_ = options.add_prefix_space.value_or(model.normalizer_spec().add_dummy_prefix());
    model.clear_self_test_data();     // runs at load, and proves nothing to us
    model.clear_denormalizer_spec();  // we decode ourselves
    model.mutable_normalizer_spec()->set_add_dummy_prefix(false);
    SLUICE_RETURN_IF_ERROR(load_processor(model, plain_));
    if (prefix_space_) {
      model.mutable_normalizer_spec()->set_add_dummy_prefix(true);
      SLUICE_RETURN_IF_ERROR(load_processor(model, prefixing_));
    }
    return {};
  }

  static Status load_processor(const ModelProto& model, SentencePieceProcessor& processor) {
    try {
      const sentencepiece::util::Status status = processor.Load(model);
      if (!status.ok()) return invalid_argument(status.ToString());
    } catch (const std::exception& error) {  // its double-array builder throws
      return invalid_argument(error.what());
    }
    return {};
  }

  void add_entries(const ModelProto& model) {
    entries_.reserve(static_cast<size_t>(model.pieces_size()));
    for (int id = 0; id < model.pieces_size(); ++id) {
      const Piece& piece = model.pieces(id);
      Entry entry{piece.piece(), "", false};
      if (piece.type() == Piece::BYTE) {
        entry.bytes = std::string(1, static_cast<char>(byte_of(id, piece.piece()).value()));
      } else if (piece.type() == Piece::CONTROL || piece.type() == Piece::UNKNOWN) {
        entry.control = true;
        entry.bytes = piece.piece();
        controls_.add(piece.piece(), id);
      } else {
        entry.bytes = replace_space_symbols(piece.piece());
      }
      entries_.push_back(std::move(entry));
    }
  }

  static void append(const SentencePieceProcessor& processor, const std::string& text,
                     std::vector<TokenId>& ids) {
    std::vector<int> encoded;
    SLUICE_CHECK(processor.Encode(text, &encoded).ok());
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }

  const Entry& entry_of(TokenId id) const {
    SLUICE_CHECK(id >= 0 && id < vocab_size());
    return entries_[static_cast<size_t>(id)];
  }

  SentencePieceProcessor plain_;      // adds no space in front
  SentencePieceProcessor prefixing_;  // adds one; loaded only where prefix_space_
  bool prefix_space_ = false;
  bool prefix_every_piece_ = false;
  size_t max_bytes_per_token_ = 0;
  std::vector<Entry> entries_;  // [vocab_size]
  ControlTokens controls_;
};

}  // namespace

namespace {

Result<std::unique_ptr<Tokenizer>> check_and_create(ModelProto model, const std::string& path,
                                                    const SentencePieceOptions& options) {
  const auto refuse = [&](const std::string& why) {
    return invalid_argument(str(path, ": not a usable SentencePiece model: ", why), path);
  };
  if (const Status status = check_model(model); !status.ok()) return refuse(status.message());
  auto tokenizer = SentencePieceTokenizer::create(std::move(model), options);
  if (!tokenizer.ok()) return refuse(tokenizer.status().message());
  return tokenizer;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_sentencepiece(std::string_view bytes,
                                                       const std::string& path,
                                                       const SentencePieceOptions& options) {
  ModelProto model;
  if (bytes.size() > kMaxTokenizerBytes ||
      !model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return invalid_argument(str(path, ": not a usable SentencePiece model: its bytes do not parse"),
                            path);
  }
  return check_and_create(std::move(model), path, options);
}

Result<std::unique_ptr<Tokenizer>> make_sentencepiece(const std::vector<SentencePiece>& pieces,
                                                      const std::string& path,
                                                      const SentencePieceOptions& options) {
  ModelProto model;
  bool has_bytes = false;
  for (const SentencePiece& piece : pieces) {
    if (!ModelProto::SentencePiece::Type_IsValid(piece.type)) {
      return invalid_argument(str(path, ": a token of the unknown type ", piece.type), path);
    }
    Piece& added = *model.add_pieces();
    added.set_piece(piece.text);
    added.set_score(piece.score);
    added.set_type(static_cast<Piece::Type>(piece.type));
    has_bytes = has_bytes || piece.type == Piece::BYTE;
  }
  model.mutable_trainer_spec()->set_model_type(sentencepiece::TrainerSpec::BPE);
  model.mutable_trainer_spec()->set_byte_fallback(has_bytes);
  model.mutable_normalizer_spec()->set_name("identity");
  model.mutable_normalizer_spec()->set_add_dummy_prefix(true);
  model.mutable_normalizer_spec()->set_remove_extra_whitespaces(false);
  model.mutable_normalizer_spec()->set_escape_whitespaces(true);
  return check_and_create(std::move(model), path, options);
}

Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::string& path,
                                                      const SentencePieceOptions& options) {
  const Result<std::string> bytes = read_text_file(path, kMaxTokenizerBytes);
  if (!bytes.ok()) return bytes.status();
  return parse_sentencepiece(bytes.value(), path, options);
}

}  // namespace sluice
