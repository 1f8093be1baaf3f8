// TokenGrammars over XGrammar. The only file that sees the library, which throws: nothing of it
// leaves this file.
#include "server/grammar/token_grammars.h"

#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "server/grammar/utf8_rules.h"

namespace sluice {
namespace {

// The bytes that each token adds to a text, and what the library does not know of UTF-8: it takes
// every continuation byte after every lead.
struct TokenTexts {
  struct Forbidden {
    uint8_t lead = 0;              // the last byte so far
    std::vector<uint32_t> tokens;  // of these none may follow it
  };
  TokenTexts(const Tokenizer& tokenizer, int model_vocab_size);

  const int vocab_size;
  std::vector<std::string> bytes;  // by id; none where nothing may be added
  std::vector<Forbidden> forbidden;
};

TokenTexts::TokenTexts(const Tokenizer& tokenizer, int model_vocab_size)
    : vocab_size(model_vocab_size),
      bytes(static_cast<size_t>(std::min(tokenizer.vocab_size(), model_vocab_size))) {
  for (const SecondByteRange& range : kSecondByteRanges)
    forbidden.push_back({range.lead, std::vector<uint32_t>(mask_words(vocab_size))});
  for (size_t id = 0; id < bytes.size(); ++id) {
    const std::string_view text =
        tokenizer.bytes_of(static_cast<TokenId>(id), /*keep_control=*/false);
    if (text.empty() || !can_stand_in_utf8(text)) continue;
    bytes[id] = text;
    const auto first = static_cast<uint8_t>(text.front());
    for (size_t i = 0; i < forbidden.size(); ++i) {
      const SecondByteRange& range = kSecondByteRanges[i];
      if (first < range.low || first > range.high)
        forbidden[i].tokens[id / 32] |= uint32_t{1} << id % 32;
    }
  }
}

class Walk final : public GrammarWalk {
 public:
  Walk(const xgrammar::CompiledGrammar& grammar, std::shared_ptr<const TokenTexts> texts)
      : matcher_(grammar), texts_(std::move(texts)) {}

  bool accept(TokenId token) override {
    if (token < 0 || static_cast<size_t>(token) >= texts_->bytes.size()) return false;
    const std::string& bytes = texts_->bytes[static_cast<size_t>(token)];
    if (bytes.empty() || !matcher_.AcceptToken(token)) return false;
    last_byte_ = static_cast<uint8_t>(bytes.back());
    return true;
  }

  void fill(std::span<uint32_t> mask) override {
    const int vocab_size = texts_->vocab_size;
    SLUICE_CHECK_EQ(mask.size(), mask_words(vocab_size));
    auto words = static_cast<int64_t>(mask.size());
    DLTensor tensor{};
    tensor.data = mask.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = {kDLInt, 32, 1};
    tensor.shape = &words;
    matcher_.FillNextTokenBitmask(&tensor);
    if (vocab_size % 32 != 0) mask.back() &= (uint32_t{1} << vocab_size % 32) - 1;
    for (const TokenTexts::Forbidden& forbidden : texts_->forbidden) {
      if (forbidden.lead != last_byte_) continue;
      for (size_t i = 0; i < mask.size(); ++i) mask[i] &= ~forbidden.tokens[i];
    }
  }

  bool complete() const override { return matcher_.IsCompleted(); }

 private:
  xgrammar::GrammarMatcher matcher_;
  const std::shared_ptr<const TokenTexts> texts_;
  uint8_t last_byte_ = 0;
};

class CompiledByXGrammar final : public Grammar {
 public:
  CompiledByXGrammar(xgrammar::CompiledGrammar grammar, std::shared_ptr<const TokenTexts> texts)
      : grammar_(std::move(grammar)), texts_(std::move(texts)) {}
  std::unique_ptr<GrammarWalk> walk() const override {
    return std::make_unique<Walk>(grammar_, texts_);
  }

 private:
  const xgrammar::CompiledGrammar grammar_;
  const std::shared_ptr<const TokenTexts> texts_;
};

// `text` as an EBNF literal.
std::string literal(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string choice_ebnf(const std::vector<std::string>& choices) {
  std::string ebnf = "root ::= ";
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) ebnf += " | ";
    ebnf += literal(choices[i]);
  }
  return ebnf;
}

// Where the library says that the text is wrong: " at position 12", " at line 1, column 3", or
// nothing. Its own words name files of the build, and are not for clients.
std::string place_in(std::string_view message) {
  for (const std::string_view mark : {" at position ", " at line "}) {
    const size_t begin = message.find(mark);
    if (begin == std::string_view::npos) continue;
    const size_t end = message.find(':', begin);
    constexpr size_t kLongestPlace = 40;
    if (end != std::string_view::npos && end - begin <= kLongestPlace) {
      return std::string(message.substr(begin, end - begin));
    }
  }
  return {};
}

const char* not_understood(GrammarSpec::Kind kind) {
  switch (kind) {
    case GrammarSpec::Kind::kRegex:
      return "is no regular expression that can be enforced; lookahead, lookbehind, "
             "backreferences, word boundaries, flags and \\p classes are not supported";
    case GrammarSpec::Kind::kEbnf:
      return "is no grammar in GBNF with a rule named root";
    case GrammarSpec::Kind::kChoice:
      return "holds a text that cannot be enforced";
    case GrammarSpec::Kind::kStructuralTag:
      return "is no structural tag that can be enforced";
    case GrammarSpec::Kind::kJsonObject:
    case GrammarSpec::Kind::kJsonSchema:
      break;
  }
  return "is no JSON schema that can be enforced: nothing fits it, or a value in it has the wrong "
         "type or form";
}

}  // namespace

class TokenGrammars::Impl {
 public:
  Impl(const Tokenizer& tokenizer, int vocab_size, size_t cache_bytes)
      : texts_(std::make_shared<const TokenTexts>(tokenizer, vocab_size)),
        // No stop ids: where an answer may end is complete()'s to say.
        compiler_(xgrammar::TokenizerInfo(texts_->bytes, xgrammar::VocabType::RAW, vocab_size,
                                          std::vector<int32_t>()),
                  /*max_threads=*/1, /*cache_enabled=*/true, static_cast<int64_t>(cache_bytes)) {}

  Result<CompiledGrammar> compile(const GrammarSpec& spec) {
    try {
      xgrammar::CompiledGrammar compiled = compile_kind(spec);
      const size_t bytes = compiled.MemorySizeBytes();
      return CompiledGrammar{
          std::make_shared<const CompiledByXGrammar>(std::move(compiled), texts_), bytes};
    } catch (const std::exception& error) {
      return invalid_argument(
          str(spec.field, ' ', not_understood(spec.kind), place_in(error.what())), spec.field);
    }
  }

 private:
  xgrammar::CompiledGrammar compile_kind(const GrammarSpec& spec) {
    switch (spec.kind) {
      case GrammarSpec::Kind::kJsonObject:
        return compile_schema(R"({"type":"object"})", /*strict=*/false);
      case GrammarSpec::Kind::kJsonSchema:
        return compile_schema(spec.text, /*strict=*/true);
      case GrammarSpec::Kind::kRegex:
        return compiler_.CompileRegex(spec.text);
      case GrammarSpec::Kind::kEbnf:
        return compiler_.CompileGrammar(spec.text);
      case GrammarSpec::Kind::kChoice:
        return compiler_.CompileGrammar(choice_ebnf(spec.choices));
      case GrammarSpec::Kind::kStructuralTag:
        break;
    }
    return compiler_.CompileStructuralTag(spec.text);
  }

  // Strict: objects and arrays have what the schema names, and no more unless it says so.
  xgrammar::CompiledGrammar compile_schema(const std::string& schema, bool strict) {
    // Between two tokens of JSON; models of little sense would go on with blanks for ever.
    constexpr int kMaxSpaces = 40;
    return compiler_.CompileJSONSchema(schema, /*any_whitespace=*/true, /*indent=*/std::nullopt,
                                       /*separators=*/std::nullopt, strict, kMaxSpaces);
  }

  const std::shared_ptr<const TokenTexts> texts_;
  xgrammar::GrammarCompiler compiler_;  // thread-safe
};

TokenGrammars::TokenGrammars(const Tokenizer& tokenizer, int vocab_size, size_t cache_bytes)
    : impl_(std::make_unique<Impl>(tokenizer, vocab_size, cache_bytes)) {}

TokenGrammars::~TokenGrammars() = default;

Result<CompiledGrammar> TokenGrammars::compile(const GrammarSpec& spec) const {
  return impl_->compile(spec);
}

}  // namespace sluice
