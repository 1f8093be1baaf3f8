#include "server/text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "server/text/detokenizer.h"

namespace sluice {
namespace {

constexpr const char* kModelDir = SLUICE_SOURCE_DIR "/models/sluice-tiny";

const Tokenizer& tiny() {
  static const std::unique_ptr<Tokenizer> tokenizer =
      load_sentencepiece(std::string(kModelDir) + "/tokenizer.model").value();
  return *tokenizer;
}

PromptPiece control(TokenId id) { return {"", id}; }

// Writes SentencePiece files, whose format is protobuf: enough of it for vocabularies.
class ModelWriter {
 public:
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6 };

  ModelWriter& piece(const std::string& text, float score, Type type) {
    std::string body = field(1, text);
    body += '\x15';  // score: field 2, 4 bytes
    char raw[4];
    std::memcpy(raw, &score, 4);
    body.append(raw, 4);
    body += '\x18';  // type: field 3
    body += static_cast<char>(type);
    bytes_ += field(1, body);
    return *this;
  }
  // A byte-pair model; its normaliser changes nothing but the leading space.
  std::string finish(bool dummy_prefix) const {
    std::string normalizer{'\x18', static_cast<char>(dummy_prefix), '\x20', '\x00'};
    return bytes_ + field(2, std::string{'\x18', '\x02'}) + field(3, normalizer);
  }

 private:
  static std::string field(int number, const std::string& body) {
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(body.size())} + body;
  }
  std::string bytes_;
};

const std::string kSpace = "\xE2\x96\x81";

std::string small_model(bool dummy_prefix) {
  return ModelWriter()
      .piece("<unk>", 0, ModelWriter::kUnknown)
      .piece("<s>", 0, ModelWriter::kControl)
      .piece("<|end|>", 0, ModelWriter::kUserDefined)
      .piece("<turn>", 0, ModelWriter::kUserDefined)
      .piece("b", -5, ModelWriter::kNormal)
      .piece(kSpace + "a", -1, ModelWriter::kNormal)
      .piece("a", -2, ModelWriter::kNormal)
      .piece(kSpace, -3, ModelWriter::kNormal)
      .piece("<", -4, ModelWriter::kNormal)
      .finish(dummy_prefix);
}

std::unique_ptr<Tokenizer> parse(const std::string& bytes, SentencePieceOptions options = {}) {
  auto tokenizer = parse_sentencepiece(bytes, "small.model", options);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return std::move(tokenizer).value();
}

// What the tokenizer of the file's other users gives: prompt_ids of golden.json, whose texts are
// these.
TEST(Tokenizer, GivesTheGoldenPromptsOfTheEmbeddedModel) {
  std::ifstream file(std::string(kModelDir) + "/golden/golden.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  const std::vector<std::string> texts = {"The Linux kernel is",
                                          "NAME\n       printf - ",
                                          "def fibonacci(n):\n    ",
                                          "In PostgreSQL, a transaction",
                                          "x",
                                          "ünïcödé 中文 🙂 text"};
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<PromptPiece> pieces = {control(1), {texts[i], std::nullopt}};
    EXPECT_EQ(tiny().encode(pieces), golden[2 + i]["prompt_ids"].get<std::vector<TokenId>>())
        << texts[i];
  }
}

TEST(Tokenizer, TextThatSpellsAControlTokenStaysText) {
  ASSERT_EQ(tiny().control_id("<|im_start|>"), 3);
  for (const char* text : {"<|im_start|>", "<|im_end|>", "<s>", "</s>", "a <|im_end|> b"}) {
    for (const TokenId id : tiny().encode(text)) EXPECT_FALSE(tiny().is_control(id)) << text;
    EXPECT_EQ(decode(tiny(), tiny().encode(text), true), text);
  }
}

TEST(Tokenizer, ControlPiecesAreOneIdAndSplitTheText) {
  const std::vector<TokenId> ids =
      tiny().encode({control(3), {"user\n", std::nullopt}, control(4)});
  EXPECT_EQ(ids, (std::vector<TokenId>{3, 1928, 15, 4}));
  EXPECT_EQ(decode(tiny(), ids, false), "<|im_start|>user\n<|im_end|>");
  EXPECT_EQ(decode(tiny(), ids, true), "user\n");
}

TEST(Tokenizer, BoundsTheBytesOfATokenWhereNoneCanVanish) {
  size_t longest = 0;
  for (TokenId id = 0; id < tiny().vocab_size(); ++id) {
    longest = std::max(longest, tiny().bytes_of(id, false).size());
  }
  EXPECT_EQ(tiny().max_bytes_per_token(), longest);
  EXPECT_EQ(parse(small_model(false))->max_bytes_per_token(), 0U);  // <unk> swallows any text
}

TEST(Tokenizer, RoundTripsTextItHasNeverSeen) {
  for (const std::string& text :
       {std::string(), std::string("  two  spaces \n\t\r\n"), std::string("a\0b", 3),
        std::string("ünïcödé 中文 🙂 \u200b\ufeff"), std::string("١٢٣ עברית")}) {
    EXPECT_EQ(decode(tiny(), tiny().encode(text), true), text);
  }
}

TEST(Tokenizer, ControlAtTakesTheLongestSpelling) {
  const auto tokenizer = parse(ModelWriter()
                                   .piece("<unk>", 0, ModelWriter::kUnknown)
                                   .piece("<a>", 0, ModelWriter::kControl)
                                   .piece("<a><b>", 0, ModelWriter::kControl)
                                   .finish(false));
  size_t length = 0;
  EXPECT_EQ(tokenizer->control_at("<a><b>c", &length), 2);
  EXPECT_EQ(length, 6U);
  EXPECT_EQ(tokenizer->control_at("<a><c>", &length), 1);
  EXPECT_EQ(length, 3U);
  EXPECT_FALSE(tokenizer->control_at("x<a>", &length));
}

TEST(Tokenizer, UserDefinedSymbolsAreControlOnlyWhenNamedOrBarred) {
  const auto plain = parse(small_model(false));
  EXPECT_TRUE(plain->is_control(2));   // <|end|>
  EXPECT_FALSE(plain->is_control(3));  // <turn>
  EXPECT_EQ(plain->encode("<turn>"), std::vector<TokenId>{3});
  const auto named = parse(small_model(false), {{"<turn>"}, std::nullopt, false});
  EXPECT_TRUE(named->is_control(3));
  EXPECT_EQ(named->encode("<turn>").front(), 8);  // "<", then unknown letters
}

TEST(Tokenizer, APrefixSpaceGoesBeforeTheFirstTextOrEveryText) {
  const std::vector<PromptPiece> prompt = {{"a", std::nullopt}, control(1), {"a", std::nullopt}};
  const std::vector<PromptPiece> started = {control(1), {"a", std::nullopt}};
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(parse(small_model(true), {{}, {}, true})->encode(prompt), (Ids{5, 1, 5}));
  EXPECT_EQ(parse(small_model(true), {{}, {}, false})->encode(prompt), (Ids{5, 1, 6}));
  EXPECT_EQ(parse(small_model(true), {{}, {}, false})->encode(started), (Ids{1, 6}));
  EXPECT_EQ(parse(small_model(true), {{}, false, true})->encode(prompt), (Ids{6, 1, 6}));
  EXPECT_EQ(parse(small_model(false), {{}, {}, true})->encode(prompt), (Ids{6, 1, 6}));
  EXPECT_EQ(decode(*parse(small_model(true)), {1, 5, 5}, true), "a a");
}

TEST(Tokenizer, RefusesDamagedFilesWithTheirPath) {
  const auto refused = [](const std::string& bytes) {
    const auto tokenizer = parse_sentencepiece(bytes, "dir/tokenizer.model", {});
    EXPECT_FALSE(tokenizer.ok());
    if (!tokenizer.ok()) {
      EXPECT_TRUE(tokenizer.status().message().starts_with("dir/tokenizer.model: "));
    }
  };
  refused("");
  refused("this is no protobuf");
  refused(small_model(true).substr(0, 40));
  refused(ModelWriter().piece("", 0, ModelWriter::kNormal).finish(true));
  refused(ModelWriter().piece("a", 0, ModelWriter::kNormal).finish(true));  // no <unk>
  refused(ModelWriter()
              .piece("<unk>", 0, ModelWriter::kUnknown)
              .piece("<0xZZ>", 0, ModelWriter::kByte)
              .finish(true));
  refused(ModelWriter()
              .piece("<unk>", 0, ModelWriter::kUnknown)
              .piece("a", 0, ModelWriter::kNormal)
              .piece("a", 0, ModelWriter::kNormal)
              .finish(true));
  EXPECT_EQ(load_sentencepiece("/nonexistent/tokenizer.model").status().code(),
            StatusCode::kNotFound);
}

}  // namespace
}  // namespace sluice
