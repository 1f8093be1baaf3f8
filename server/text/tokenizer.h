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
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of plain text. Text that spells a control token stays text. Invalid UTF-8 is refused by the
  // caller.
  virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  // Ids of text in which the spellings of control tokens ARE control tokens (a rendered chat
  // template, whose user-supplied parts have been kept apart by the template engine).
  std::vector<TokenId> encode(const std::vector<PromptPiece>& pieces) const;
  // Bytes that `id` adds after other tokens (a byte-fallback token is one byte; a control token is
  // empty unless `keep_control`). Concatenating the bytes of a sequence gives its text, up to the
  // leading space that decode() drops.
  virtual std::string_view bytes_of(TokenId id, bool keep_control) const = 0;
  virtual std::string decode(const std::vector<TokenId>& ids, bool skip_control) const = 0;

  virtual int vocab_size() const = 0;
  // The id of a control token by its spelling, such as "<|im_start|>".
  virtual std::optional<TokenId> control_id(std::string_view spelling) const = 0;
  // The longest control token spelled at the start of `text`, if any.
  virtual std::optional<TokenId> control_at(std::string_view text, size_t* length) const = 0;
  virtual std::string spelling(TokenId id) const = 0;
  virtual bool is_control(TokenId id) const = 0;
};

// Loads tokenizer.model (SentencePiece). Refuses damaged and hostile files with the reason.
Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::string& path);

}  // namespace sluice
