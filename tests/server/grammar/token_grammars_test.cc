// TokenGrammars: what comes out of random walks through the masks has the form that was asked for.
#include "server/grammar/token_grammars.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "server/text/hf/regex.h"
#include "server/text/json_value.h"
#include "server/text/utf8.h"

namespace sluice {
namespace {

constexpr size_t kCacheBytes = size_t{16} << 20;
constexpr unsigned kSeed = 20261124;
// Ids past the tokenizer's, as a padded head has.
constexpr int kPadding = 45;

const Tokenizer& tiny() {
  static const std::unique_ptr<Tokenizer> tokenizer =
      load_sentencepiece(SLUICE_SOURCE_DIR "/models/sluice-tiny/tokenizer.model").value();
  return *tokenizer;
}

int vocab_size() { return tiny().vocab_size() + kPadding; }

const TokenGrammars& grammars() {
  static const TokenGrammars made(tiny(), vocab_size(), kCacheBytes);
  return made;
}

std::shared_ptr<const Grammar> compile(GrammarSpec::Kind kind, const std::string& text,
                                       std::vector<std::string> choices = {}) {
  Result<CompiledGrammar> compiled =
      grammars().compile({.kind = kind, .text = text, .choices = std::move(choices)});
  EXPECT_TRUE(compiled.ok()) << compiled.status().message();
  return compiled.value().grammar;
}

std::vector<TokenId> allowed(GrammarWalk& walk) {
  std::vector<uint32_t> mask(mask_words(vocab_size()), ~uint32_t{0});
  walk.fill(mask);
  std::vector<TokenId> ids;
  for (size_t word = 0; word < mask.size(); ++word) {
    for (unsigned bit = 0; bit < 32; ++bit) {
      if ((mask[word] >> bit & 1) != 0) ids.push_back(static_cast<TokenId>(word * 32 + bit));
    }
  }
  return ids;
}

// One walk. Prefers tokens with a quote, bracket or comma half of the time, so that it ends. Empty:
// it did not end within the limit.
std::optional<std::string> walk_text(const Grammar& grammar, std::mt19937& random) {
  constexpr int kMaxTokens = 400;
  const std::unique_ptr<GrammarWalk> walk = grammar.walk();
  std::string text;
  for (int i = 0; i < kMaxTokens; ++i) {
    std::vector<TokenId> ids = allowed(*walk);
    if (walk->complete() && (ids.empty() || random() % 4 == 0)) return text;
    EXPECT_FALSE(ids.empty()) << "stuck after " << text;
    if (ids.empty()) return std::nullopt;
    std::vector<TokenId> closing;
    for (const TokenId id : ids) {
      EXPECT_LT(id, tiny().vocab_size());
      if (tiny().bytes_of(id, false).find_first_of("\"]},") != std::string_view::npos) {
        closing.push_back(id);
      }
    }
    const bool close = !closing.empty() && random() % 2 == 0;
    const std::vector<TokenId>& from = close ? closing : ids;
    const TokenId id = from[random() % from.size()];
    EXPECT_FALSE(tiny().is_control(id)) << id;
    EXPECT_TRUE(walk->accept(id));
    text += tiny().bytes_of(id, false);
  }
  return std::nullopt;
}

// `fits` holds of every text that walks end with.
void expect_walks(const Grammar& grammar, const std::function<bool(const std::string&)>& fits) {
  std::mt19937 random(kSeed);
  int ended = 0;
  for (int i = 0; i < 60; ++i) {
    const std::optional<std::string> text = walk_text(grammar, random);
    if (!text) continue;
    ++ended;
    EXPECT_FALSE(find_invalid_utf8(*text)) << *text;
    EXPECT_TRUE(fits(*text)) << "seed " << kSeed << ", walk " << i << ": " << *text;
  }
  EXPECT_GT(ended, 20);
}

TEST(TokenGrammars, WalksThroughASchemaGiveItsObjects) {
  const auto grammar = compile(GrammarSpec::Kind::kJsonSchema, R"({
    "type": "object",
    "properties": {
      "name": {"type": "string"},
      "age": {"type": "integer", "minimum": 0, "maximum": 150},
      "tags": {"type": "array", "items": {"enum": ["a", "b\"c", "ü"]}, "maxItems": 3}
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": false
  })");
  expect_walks(*grammar, [](const std::string& text) {
    const Result<JsonValue> value = JsonValue::parse(text);
    if (!value.ok() || value->as_object() == nullptr || value->as_object()->size() != 3)
      return false;
    const JsonValue* age = value->find("age");
    const JsonValue* tags = value->find("tags");
    if (value->find("name")->as_string() == nullptr || tags->as_array()->size() > 3) return false;
    for (const JsonValue& tag : *tags->as_array()) {
      const std::string& word = *tag.as_string();
      if (word != "a" && word != "b\"c" && word != "ü") return false;
    }
    return age->as_integer() != nullptr && *age->as_integer() >= 0 && *age->as_integer() <= 150;
  });
}

TEST(TokenGrammars, AJsonObjectIsAnyObject) {
  expect_walks(*compile(GrammarSpec::Kind::kJsonObject, ""), [](const std::string& text) {
    const Result<JsonValue> value = JsonValue::parse(text);
    // The grammar knows nothing of keys that come twice.
    if (!value.ok()) return value.status().message().find("twice") != std::string::npos;
    return value->as_object() != nullptr;
  });
}

TEST(TokenGrammars, WalksThroughARegexMatchIt) {
  const std::string pattern = "[A-Z]{2}-[0-9]{1,4}(x|yz)?";
  const Regex regex = Regex::compile(pattern).value();
  expect_walks(*compile(GrammarSpec::Kind::kRegex, pattern), [&](const std::string& text) {
    std::vector<Span> matches;
    Regex::Matcher(regex).find_all(text, matches);
    return matches == std::vector{Span{0, text.size()}};
  });
}

TEST(TokenGrammars, WalksThroughAGrammarAreItsSentences) {
  const auto grammar = compile(GrammarSpec::Kind::kEbnf,
                               "root ::= term (\"+\" term)*\n"
                               "term ::= [0-9]+ | \"(\" root \")\"");
  expect_walks(*grammar, [](const std::string& text) {
    int depth = 0;
    for (const char c : text) depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    return depth == 0 && text.find_first_not_of("0123456789+()") == std::string::npos;
  });
}

TEST(TokenGrammars, AChoiceIsOneOfTheTextsToTheByte) {
  const std::vector<std::string> choices = {"yes", "no \"way\"", "a\\b\nc\td", "größer", "日本"};
  expect_walks(*compile(GrammarSpec::Kind::kChoice, "", choices), [&](const std::string& text) {
    return std::find(choices.begin(), choices.end(), text) != choices.end();
  });
}

// The library itself takes ED A0 80 for a code point; it is half of a surrogate pair.
TEST(TokenGrammars, BytesThatAreNoUtf8AreNotAllowed) {
  const auto byte = [](uint8_t value) {
    for (TokenId id = 0; id < tiny().vocab_size(); ++id) {
      if (tiny().bytes_of(id, false) == std::string(1, static_cast<char>(value))) return id;
    }
    return TokenId{-1};
  };
  const auto grammar = compile(GrammarSpec::Kind::kRegex, "[^a]+");
  const struct {
    uint8_t lead, low, high;  // what may follow
  } cases[] = {{0xC3, 0x80, 0xBF}, {0xE0, 0xA0, 0xBF}, {0xE1, 0x80, 0xBF}, {0xED, 0x80, 0x9F},
               {0xF0, 0x90, 0xBF}, {0xF1, 0x80, 0xBF}, {0xF4, 0x80, 0x8F}};
  for (const auto& wanted : cases) {
    const std::unique_ptr<GrammarWalk> walk = grammar->walk();
    ASSERT_TRUE(walk->accept(byte(wanted.lead)));
    std::vector<TokenId> following;
    for (int value = wanted.low; value <= wanted.high; ++value)
      following.push_back(byte(static_cast<uint8_t>(value)));
    std::ranges::sort(following);
    EXPECT_EQ(allowed(*walk), following) << std::hex << int{wanted.lead};
  }
  const std::vector<TokenId> first = allowed(*grammar->walk());
  for (const uint8_t never : {0xC0, 0xC1, 0xF5, 0xFF, 0x80}) {
    EXPECT_EQ(std::ranges::count(first, byte(never)), 0) << std::hex << int{never};
  }
}

TEST(TokenGrammars, ControlTokensStandInNoText) {
  // Inside a string any text may come, but not the spelling of a control token as that token.
  const auto grammar = compile(GrammarSpec::Kind::kJsonSchema, R"({"type": "string"})");
  const std::unique_ptr<GrammarWalk> walk = grammar->walk();
  for (const TokenId id : tiny().encode("\"")) {
    if (tiny().bytes_of(id, false) == "\"") {
      EXPECT_TRUE(walk->accept(id));
    }
  }
  const std::vector<TokenId> ids = allowed(*walk);
  EXPECT_GT(ids.size(), 1000U);
  for (const TokenId id : ids) EXPECT_FALSE(tiny().is_control(id)) << tiny().spelling(id);
  EXPECT_FALSE(walk->accept(vocab_size() - 1));  // an id without a token
}

TEST(TokenGrammars, TextsThatDoNotParseAreRefusedInOurWords) {
  const std::pair<GrammarSpec::Kind, std::string> broken[] = {
      {GrammarSpec::Kind::kRegex, "a(b"},
      {GrammarSpec::Kind::kRegex, "a(?=b)"},
      {GrammarSpec::Kind::kEbnf, "root ::= "},
      {GrammarSpec::Kind::kEbnf, "start ::= \"a\""},
      {GrammarSpec::Kind::kJsonSchema, R"({"type": "strong"})"},
      {GrammarSpec::Kind::kJsonSchema, R"({"type": "object", "properties": 1})"},
      {GrammarSpec::Kind::kStructuralTag, "{}"},
  };
  for (const auto& [kind, text] : broken) {
    const Result<CompiledGrammar> result =
        grammars().compile({.kind = kind, .text = text, .field = "the_field"});
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(result.status().field(), "the_field");
    EXPECT_EQ(result.status().message().find(".cc"), std::string::npos)
        << result.status().message();
    EXPECT_EQ(result.status().message().rfind("the_field is ", 0), 0U) << result.status().message();
  }
}

}  // namespace
}  // namespace sluice
