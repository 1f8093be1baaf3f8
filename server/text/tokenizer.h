// Tokenizer: text to ids and back. Immutable after load, shared by all threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace sluice {

// A piece of a prompt: plain text, in which nothing is special, or one control token.
struct PromptPiece {
  std::string text;  // plain text if control is absent
  std::optional<TokenId> control;

  bool operator==(const PromptPiece&) const = default;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of a prompt that is made of `pieces`. Text must be valid UTF-8 (the caller checks). Text
  // that spells a control token stays text: only PromptPiece::control gives a control id.
  virtual std::vector<TokenId> encode(const std::vector<PromptPiece>& pieces) const = 0;
  // Ids of plain text.
  std::vector<TokenId> encode(std::string_view text) const {
    return encode({PromptPiece{std::string(text), std::nullopt}});
  }

  // Bytes that `id` adds after other tokens: a byte-fallback token is one byte; a control token is
  // its spelling, or nothing unless `keep_control`. Concatenating the bytes of a sequence gives its
  // text, after the leading space that the tokenizer puts before a text, if it does.
  virtual std::string_view bytes_of(TokenId id, bool keep_control) const = 0;
  virtual bool adds_leading_space() const = 0;

  // Most bytes of text that one token can stand for, so that a text far too long is known before it
  // is tokenised. 0: not known.
  virtual size_t max_bytes_per_token() const = 0;

  virtual int vocab_size() const = 0;
  // The id of a control token by its spelling, such as "<|im_start|>".
  virtual std::optional<TokenId> control_id(std::string_view spelling) const = 0;
  // The longest control token spelled at the start of `text`, if any, and its length.
  virtual std::optional<TokenId> control_at(std::string_view text, size_t* length) const = 0;
  // As the vocabulary writes it: "▁the", "<0x0A>", "<|im_end|>".
  virtual std::string spelling(TokenId id) const = 0;
  virtual bool is_control(TokenId id) const = 0;
};

// How a directory's tokenizer_config.json wants a SentencePiece model to be used.
struct SentencePieceOptions {
  // Spellings that are control tokens although the model file has them as user-defined symbols,
  // which SentencePiece would find inside plain text. Those of the form <|...|> always are.
  std::vector<std::string> control_tokens;
  // Whether a prompt starts with a space that its text lacks; absent: as the model file says.
  std::optional<bool> add_prefix_space;
  // The older habit: such a space before the text after each control token too.
  bool prefix_every_piece = true;
};

// Loads tokenizer.model (SentencePiece). Refuses damaged and hostile files with the reason.
Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::string& path,
                                                      const SentencePieceOptions& options = {});
// A piece of a SentencePiece vocabulary that comes in another file; `type` as in tokenizer.model: 1
// normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
struct SentencePiece {
  std::string text;
  float score = 0;
  int type = 1;
};
// A byte-pair model of these pieces, as Llama's; `path` names it in messages.
Result<std::unique_ptr<Tokenizer>> make_sentencepiece(const std::vector<SentencePiece>& pieces,
                                                      const std::string& path,
                                                      const SentencePieceOptions& options);
// The same from the file's bytes; `path` names it in messages.
Result<std::unique_ptr<Tokenizer>> parse_sentencepiece(std::string_view bytes,
                                                       const std::string& path,
                                                       const SentencePieceOptions& options);

}  // namespace sluice
