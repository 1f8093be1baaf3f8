#include "server/text/hf/tokenizer_json.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "server/text/detokenizer.h"
#include "server/text/hf/hf_tokenizer.h"
#include "server/text/json_text.h"
#include "server/text/prompt_pieces.h"

namespace sluice {
namespace {

// A byte-level vocabulary: the 256 bytes in order, then "he", "ll", "hell", " w".
std::string byte_level_file(const std::string& more = "") {
  std::string vocab;
  for (int byte = 0; byte < 256; ++byte) {
    append_json_string(&vocab, to_byte_letters(std::string(1, static_cast<char>(byte))));
    vocab += str(":", byte, ",");
  }
  return R"({"model": {"type": "BPE", "vocab": {)" + vocab +
         R"("he": 256, "ll": 257, "hell": 258, "Ġw": 259},
             "merges": ["h e", "l l", "he ll", ["Ġ", "w"]]},
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
      "decoder": {"type": "ByteLevel"},
      "added_tokens": [{"id": 260, "content": "<|end|>", "special": true, "rstrip": true},
                       {"id": 261, "content": "<tool>", "normalized": false}])" +
         more + "}";
}

LoadedTokenizer load(const std::string& json) {
  Result<LoadedTokenizer> loaded = parse_tokenizer_json(json, "t.json");
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return std::move(loaded).value();
}

std::string refusal(const std::string& json) {
  const Result<LoadedTokenizer> loaded = parse_tokenizer_json(json, "t.json");
  EXPECT_FALSE(loaded.ok());
  return loaded.ok() ? "" : loaded.status().message();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

using Ids = std::vector<TokenId>;

TEST(TokenizerJson, ByteLevelMergesByRankInsideWords) {
  const LoadedTokenizer loaded = load(byte_level_file());
  const Tokenizer& tokenizer = *loaded.tokenizer;
  EXPECT_EQ(tokenizer.encode("hello w"), (Ids{258, 'o', 259}));
  EXPECT_EQ(tokenizer.encode("hehe"), (Ids{256, 256}));
  EXPECT_EQ(decode(tokenizer, {258, 'o', 259, 0xC3, 0xA9}, true), "hello wé");
  EXPECT_EQ(tokenizer.spelling(259), "Ġw");
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST(TokenizerJson, UsersCannotWriteControlTokensButOtherAddedTokens) {
  const LoadedTokenizer loaded = load(byte_level_file());
  const Tokenizer& tokenizer = *loaded.tokenizer;
  const Ids plain = tokenizer.encode("<|end|><tool>");
  EXPECT_EQ(plain.size(), 8U);
  EXPECT_EQ(plain.back(), 261);
  EXPECT_TRUE(tokenizer.is_control(260));
  EXPECT_FALSE(tokenizer.is_control(261));
  EXPECT_EQ(decode(tokenizer, {260, 261}, true), "<tool>");
}

TEST(TokenizerJson, AControlTokenTakesTheSpaceBehindIt) {
  const LoadedTokenizer loaded = load(byte_level_file());
  std::vector<PromptPiece> pieces;
  append_trusted("h<|end|>\n ", *loaded.tokenizer, pieces);
  append_plain(" h", pieces);
  EXPECT_EQ(loaded.tokenizer->encode(pieces), (Ids{'h', 260, 'h'}));
}

TEST(TokenizerJson, ThePostProcessorNamesWhatStandsRoundAPrompt) {
  const LoadedTokenizer loaded = load(byte_level_file(R"(, "post_processor": {
      "type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "e", "type_id": 0}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {"e": {"id": "e", "ids": [260], "tokens": ["<|end|>"]}}}]})"));
  EXPECT_EQ(loaded.prefix, Ids{260});
  EXPECT_EQ(loaded.suffix, Ids{});
}

TEST(TokenizerJson, LongTextsOfOneKindTakeTheTimeOfTheirLength) {
  // A quadratic step on a megabyte would not end; tests/parity compares shorter ones with others.
  const std::string file = byte_level_file(R"(, "normalizer": {"type": "NFC"})");
  const LoadedTokenizer loaded = load(file);
  constexpr size_t kBytes = 1 << 20;
  for (const char* unit : {"l", " ", "\xCC\x81\xCC\xA7\xCC\x88", "<|en"}) {
    std::string text;
    while (text.size() < kBytes) text += unit;
    EXPECT_EQ(decode(*loaded.tokenizer, loaded.tokenizer->encode(text), false).size(), text.size());
  }
}

TEST(TokenizerJson, HostileFilesAreRefusedInWords) {
  const std::string good = byte_level_file();
  const auto refused = [&](const std::string& from, const std::string& to, const char* words) {
    const std::string why = refusal(replaced(good, from, to));
    EXPECT_NE(why.find(words), std::string::npos) << why;
    EXPECT_TRUE(why.starts_with("t.json: not a usable tokenizer: ")) << why;
  };
  refused(R"("he": 256)", R"("he": 99999999999)", "must be an integer from 0 to");
  refused(R"("he": 256)", R"("he": -1)", "must be an integer from 0 to");
  refused(R"("he": 256)", R"("he": 257)", "two tokens have the id 257");
  refused(R"("h e")", R"("h x y")", "merge 0 is not two tokens");
  refused(R"("h e")", R"("h ll")", "merge 0 names or makes a token that is not in the vocabulary");
  refused(R"("id": 260)", R"("id": 4294967556)", "beyond the vocabulary");
  refused(R"("id": 260)", R"("id": 262)", "beyond the vocabulary");
  refused(R"("id": 260)", R"("id": 261)", "two have the id 261");
  refused(R"("type": "BPE")", R"("type": "WordPiece")", "model of type \"WordPiece\"");
  refused(R"("type": "BPE")", R"("type": "BPE", "dropout": 0.1)", "dropout");
  refused(R"("type": "BPE")", R"("type": "BPE", "end_of_word_suffix": "</w>")",
          "end_of_word_suffix is not supported");
  refused(R"("decoder": {"type": "ByteLevel"})", R"("decoder": {"type": "CTC"})", "\"CTC\"");
  refused(R"("decoder": {"type": "ByteLevel"})", R"("decoder": null)", "decoder is missing");
  refused(R"({"type": "ByteLevel", "add)", R"({"type": "Split", "behavior": "Isolated",
          "pattern": {"Regex": "(a"}, "add)",
          "does not compile");
  refused(R"({"type": "ByteLevel", "add)", R"({"type": "BertPreTokenizer", "add)",
          "BertPreTokenizer");
  EXPECT_NE(refusal("{}").find("decoder is missing"), std::string::npos);
  EXPECT_NE(refusal("[").find("not valid JSON"), std::string::npos);
  EXPECT_NE(refusal("7").find("no JSON object"), std::string::npos);

  std::string deep = R"({"type": "NFC"})";
  for (int i = 0; i < 100; ++i) {
    deep = R"({"type": "Sequence", "normalizers": [)" + deep + "]}";
  }
  EXPECT_NE(refusal(byte_level_file(R"(, "normalizer": )" + deep)).find("nested deeper"),
            std::string::npos);
}

TEST(TokenizerJson, UnigramTakesTheWayOfTheHighestScore) {
  const LoadedTokenizer loaded = load(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab":
      [["<unk>", 0], ["▁", -3], ["a", -2], ["b", -2], ["ab", -3.5], ["▁a", -2.5]]},
      "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
      "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}})");
  EXPECT_EQ(loaded.tokenizer->encode("ab ab"), (Ids{5, 3, 5, 3}));  // -4.5 beats -6.5
  EXPECT_EQ(loaded.tokenizer->encode("bxyab"), (Ids{1, 3, 0, 4}));  // neighbours are one unknown
  EXPECT_EQ(decode(*loaded.tokenizer, {5, 3, 5}, true), "ab a");
}

TEST(TokenizerJson, UnigramWithoutUnknownOrBytesIsRefused) {
  EXPECT_NE(refusal(R"({"model": {"type": "Unigram", "vocab": [["a", -1]]},
                        "decoder": {"type": "Fuse"}})")
                .find("neither an unknown token"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", -1]]},
                        "decoder": {"type": "Fuse"}})")
                .find("unk_id is 7; there are 1 pieces"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice
