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

namespace sluice {
namespace {

class Walk final : public GrammarWalk {
 public:
  Walk(const xgrammar::CompiledGrammar& grammar, int vocab_size)
      : matcher_(grammar), vocab_size_(vocab_size) {}

  bool accept(TokenId token) override { return matcher_.AcceptToken(token); }

  void fill(std::span<uint32_t> mask) override {
    SLUICE_CHECK_EQ(mask.size(), mask_words(vocab_size_));
    auto words = static_cast<int64_t>(mask.size());
    DLTensor tensor{};
    tensor.data = mask.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = {kDLInt, 32, 1};
    tensor.shape = &words;
    matcher_.FillNextTokenBitmask(&tensor);
    if (vocab_size_ % 32 != 0) mask.back() &= (uint32_t{1} << (vocab_size_ % 32)) - 1;
  }

  bool complete() const override { return matcher_.IsCompleted(); }

 private:
  xgrammar::GrammarMatcher matcher_;
  int vocab_size_;
};

class CompiledByXGrammar final : public Grammar {
 public:
  CompiledByXGrammar(xgrammar::CompiledGrammar grammar, int vocab_size)
      : grammar_(std::move(grammar)), vocab_size_(vocab_size) {}
  std::unique_ptr<GrammarWalk> walk() const override {
    return std::make_unique<Walk>(grammar_, vocab_size_);
  }

 private:
  xgrammar::CompiledGrammar grammar_;
  int vocab_size_;
};

std::vector<std::string> token_bytes(const Tokenizer& tokenizer, int vocab_size) {
  std::vector<std::string> bytes(static_cast<size_t>(std::min(tokenizer.vocab_size(), vocab_size)));
  for (size_t id = 0; id < bytes.size(); ++id) {
    bytes[id] = tokenizer.bytes_of(static_cast<TokenId>(id), /*keep_control=*/false);
  }
  return bytes;
}

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
      : vocab_size_(vocab_size),
        // No stop ids: where an answer may end is complete()'s to say.
        compiler_(
            xgrammar::TokenizerInfo(token_bytes(tokenizer, vocab_size), xgrammar::VocabType::RAW,
                                    vocab_size, std::vector<int32_t>()),
            /*max_threads=*/1, /*cache_enabled=*/true, static_cast<int64_t>(cache_bytes)) {}

  Result<CompiledGrammar> compile(const GrammarSpec& spec) {
    try {
      xgrammar::CompiledGrammar compiled = compile_kind(spec);
      const size_t bytes = compiled.MemorySizeBytes();
      return CompiledGrammar{
          std::make_shared<const CompiledByXGrammar>(std::move(compiled), vocab_size_), bytes};
    } catch (const std::exception& error) {
      return invalid_argument(
          str(spec.field, ' ', not_understood(spec.kind), place_in(error.what())), spec.field);
    }
  }

 private:
  xgrammar::CompiledGrammar compile_kind(const GrammarSpec& spec) {
    switch (spec.kind) {
      case GrammarSpec::Kind::kJsonObject:
        return compiler_.CompileJSONSchema(R"({"type":"object"})", true, std::nullopt, std::nullopt,
                                           /*strict_mode=*/false);
      case GrammarSpec::Kind::kJsonSchema:
        return compiler_.CompileJSONSchema(spec.text);
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

  const int vocab_size_;
  xgrammar::GrammarCompiler compiler_;  // thread-safe
};

TokenGrammars::TokenGrammars(const Tokenizer& tokenizer, int vocab_size, size_t cache_bytes)
    : impl_(std::make_unique<Impl>(tokenizer, vocab_size, cache_bytes)) {}

TokenGrammars::~TokenGrammars() = default;

Result<CompiledGrammar> TokenGrammars::compile(const GrammarSpec& spec) const {
  return impl_->compile(spec);
}

}  // namespace sluice
